"""Channels that are listened to separately: their events, their order, and what is left out."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from emo_listen import (
    EmotionModel,
    Event,
    GapEvent,
    ListenOptions,
    SegmentEvent,
    Session,
    WarningEvent,
    listen,
)
from emo_listen.audio import load_audio
from emo_listen.channels.mixed import MixedChannels
from emo_listen.errors import AudioInputError
from emo_listen.sound.channel_choice import ChannelChoice

RATE = 16_000


@pytest.fixture(scope="module")
def call(sample_file: Path) -> NDArray[np.float32]:
    """Two voices in turn, each in one channel: 17 s, (n_samples, 2)."""
    voice = load_audio(sample_file, RATE)
    half = 8 * RATE
    sound = np.random.default_rng(0).normal(0, 3e-4, (len(voice), 2)).astype(np.float32)
    sound[:half, 0] += voice[:half]
    sound[half:, 1] += voice[half:]
    return sound


@pytest.fixture(scope="module")
def call_file(call: NDArray[np.float32], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("call") / "call.wav"
    soundfile.write(path, call, RATE, subtype="FLOAT")
    return path


def events(
    model: EmotionModel,
    samples: NDArray[Any],
    channels: ChannelChoice,
    length: int = 4410,
    **options: Any,
) -> list[Event]:
    session = Session(model, ListenOptions(channels=channels, **options))
    found = []
    for start in range(0, len(samples), length):
        found += session.push(samples[start : start + length], RATE)
    return found + session.finish()


def segments(found: Sequence[Event], channel: int | None) -> list[SegmentEvent]:
    return [e for e in found if isinstance(e, SegmentEvent) and e.channel == channel]


@pytest.mark.parametrize("length", [77, 320, 10**9])
def test_the_size_of_blocks_changes_nothing(
    bundled_model: EmotionModel, call: NDArray[np.float32], length: int
) -> None:
    expected = events(bundled_model, call, "separate", emit="all")
    assert {event.channel for event in expected} == {1, 2}
    assert events(bundled_model, call, "separate", length, emit="all") == expected


def test_a_channel_has_the_events_that_it_has_alone(
    bundled_model: EmotionModel, call: NDArray[np.float32]
) -> None:
    together = events(bundled_model, call, "separate")
    for channel in (1, 2):
        alone = events(bundled_model, call[:, channel - 1], "mix")
        assert [e for e in together if e.channel == channel] == [
            replace(event, channel=channel) for event in alone
        ]
        assert len(segments(together, channel)) > 1


def test_a_channel_that_is_left_out_is_not_computed(
    bundled_model: EmotionModel, call: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds: list[float] = []
    run = EmotionModel.run

    def counted(self: EmotionModel, samples: NDArray[np.float32], rate: int) -> Any:
        seconds.append(len(samples))
        return run(self, samples, rate)

    monkeypatch.setattr(EmotionModel, "run", counted)
    both = events(bundled_model, call, "separate")
    runs_of_both = len(seconds)
    seconds.clear()
    one = events(bundled_model, call, [2])
    assert one == [event for event in both if event.channel == 2]
    assert 0 < len(seconds) < runs_of_both


def test_invalid_samples_are_a_gap_of_their_channel_only(
    bundled_model: EmotionModel, call: NDArray[np.float32]
) -> None:
    damaged = call.copy()
    damaged[3 * RATE : 4 * RATE, 1] = np.nan
    found = events(bundled_model, damaged, "separate")
    gaps = [event for event in found if isinstance(event, GapEvent)]
    assert [(gap.channel, gap.seconds, gap.reason) for gap in gaps] == [(2, 1.0, "invalid")]
    assert gaps[0].time == pytest.approx(3, abs=0.05)
    undamaged = events(bundled_model, call, "separate")
    assert segments(found, 1) == segments(undamaged, 1)
    # Channels stay in step.
    last, expected = segments(found, 2)[-1].end, segments(undamaged, 2)[-1].end
    assert last == pytest.approx(expected, abs=0.1)
    assert events(bundled_model, damaged, "separate", 77) == found


def test_lost_sound_of_the_stream_is_one_gap_and_ends_speech_in_every_channel(
    bundled_model: EmotionModel, call: NDArray[np.float32]
) -> None:
    session = Session(bundled_model, ListenOptions(channels="separate"))
    assert session.gap(2.0, "device") == [GapEvent(time=0.0, seconds=2.0, reason="device")]
    session.push(call[: 4 * RATE], RATE)
    found = session.gap(0.5)
    assert isinstance(found[0], SegmentEvent) and found[0].channel == 1
    assert found[-1] == GapEvent(time=4.0, seconds=0.5, reason="overflow")
    session.push(call[4 * RATE :], RATE)
    session.finish()
    assert session.seconds == len(call) / RATE


def test_warnings_are_those_of_a_channel(
    bundled_model: EmotionModel, call: NDArray[np.float32]
) -> None:
    muted = call.copy()
    muted[:, 0] = 0
    found = events(bundled_model, muted, "separate")
    warnings = [event for event in found if isinstance(event, WarningEvent)]
    assert [(warning.channel, warning.reason) for warning in warnings] == [(1, "silent")]


def test_status_has_the_level_of_each_channel(
    bundled_model: EmotionModel, call: NDArray[np.float32]
) -> None:
    found = events(bundled_model, call[: 2 * RATE], "separate", status=True)
    levels = {e.channel: e.level for e in found if e.type == "status"}
    assert set(levels) == {1, 2}
    assert levels[1] > levels[2] + 10


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ([3], "no channel 3 in audio of 2 channels"),
        ([0], "no channel 0"),
        ([1, 1], "twice"),
        ([], "not known"),
        ("left", "not known"),
        ([1.5], "not the number of a channel"),
    ],
)
def test_channels_that_do_not_exist_are_refused(
    bundled_model: EmotionModel, call: NDArray[np.float32], choice: Any, message: str
) -> None:
    with pytest.raises(AudioInputError, match=message):
        events(bundled_model, call, choice)


def test_events_of_the_mix_have_no_channel(
    bundled_model: EmotionModel, call: NDArray[np.float32]
) -> None:
    assert {event.channel for event in events(bundled_model, call, "mix")} == {None}
    assert isinstance(MixedChannels(bundled_model, ListenOptions()).seconds, float)


def cli(*arguments: str | Path, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "emo_listen.cli", *arguments],
        input=stdin,
        capture_output=True,
        timeout=120,
    )


def test_the_command_lists_channels_in_every_format(
    call_file: Path, bundled_model: EmotionModel, tmp_path: Path
) -> None:
    expected = [
        (e.channel, e.start, e.label)
        for e in listen(call_file, model=bundled_model, channels="separate")
        if isinstance(e, SegmentEvent)
    ]
    picture = tmp_path / "call.png"
    result = cli(call_file, "--channels", "separate", "--plot", picture)
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [
        (line["channel"], line["start"], line["label"])
        for line in lines
        if line["type"] == "segment"
    ] == expected
    assert picture.stat().st_size > 10_000
    table = cli(call_file, "--channels", "separate", "--format", "csv").stdout.decode().split("\n")
    assert table[0].startswith("channel,start,end,label")
    assert [int(row.split(",")[0]) for row in table[1:-1]] == [row[0] for row in expected]
    text = cli(call_file, "--channels", "2", "--format", "text").stdout.decode().splitlines()
    assert text and all(line.startswith(" 2 ") for line in text)
    refused = cli(call_file, "--channels", "1,3")
    assert refused.returncode == 2
    assert b"no channel 3 in audio of 2 channels" in refused.stderr
    database = tmp_path / "database"
    folder = ("--format", "audformat", "--output", database)
    assert cli(call_file, "--channels", "separate", *folder).returncode == 0
    columns = (database / "db.emotion.csv").read_text().splitlines()[0].split(",")
    assert "channel" in columns


def test_channels_of_standard_input(call: NDArray[np.float32], call_file: Path) -> None:
    pcm = (call * 32767).astype("<i2").tobytes()
    separate = cli("-", "--pcm-channels", "2", "--channels", "separate", stdin=pcm)
    channels = {json.loads(line)["channel"] for line in separate.stdout.splitlines()}
    assert channels == {1, 2}
    # A single number is still the number of channels of raw PCM.
    old = cli("-", "--channels", "2", stdin=pcm)
    assert old.stdout and old.stdout == cli("-", "--pcm-channels", "2", stdin=pcm).stdout
    assert b'"channel"' not in old.stdout
    # A file of another rate is not mixed before its channels are separate.
    resampled = cli("-", "--channels", "separate", "--rate", "22050", stdin=call_file.read_bytes())
    found = [json.loads(line) for line in resampled.stdout.splitlines()]
    assert {event["channel"] for event in found if event["start"] < 7} == {1}


def test_analyse_estimates_a_baseline_for_each_channel_and_resumes(
    call_file: Path, tmp_path: Path
) -> None:
    output = tmp_path / "results.csv"
    command = ("analyse", call_file, "--output", output, "--jobs", "1", "--channels")
    assert cli(*command, "separate").returncode == 0
    table = [line.split(",") for line in output.read_text().splitlines()]
    assert table[0][:3] == ["file", "channel", "start"]
    column = table[0].index("baseline_seconds")
    baselines = {(row[1], row[column]) for row in table[1:]}
    assert [channel for channel, _ in sorted(baselines)] == ["1", "2"]
    assert b"Already done: 1 of 1" in cli(*command, "separate").stderr
    other = cli(*command, "mix")
    assert other.returncode == 2
    assert b"written with another channels" in other.stderr
