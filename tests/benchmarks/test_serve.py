"""The load benchmark of the server."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import serve
from benchmarks.serving.client import Load, Played, Usage, run_load
from benchmarks.serving.figures import load_row, memory_a_stream, memory_row
from benchmarks.serving.server import running_server
from benchmarks.serving.sounds import VOICES, Sound, continuous, mostly_silent
from emo_listen.errors import ServerError
from emo_listen.model import BUNDLED_MODEL
from tests.support.scripts import run_script
from train.corpus.recordings import bundled_speech

RATE = 16_000


def test_a_load_as_a_command(repository: Path, tmp_path: Path) -> None:
    done = run_script(
        repository / "benchmarks" / "serve.py",
        *("--streams", 1, 2, "--silent", 2, "--seconds", 4, "--soak-minutes", 0.05),
        *("--output", tmp_path),
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout.splitlines()[-1])
    assert document["benchmark"] == "serve"
    assert document["admitted_by_default"] >= 1
    rows = document["loads"]
    assert [(row["sound"], row["streams"]) for row in rows] == [
        *(("speech", 1), ("speech", 2), ("mostly silent", 2)),
    ]
    for row in [*rows, document["soak"]]:
        assert (row["lost"], row["added"], row["problems"]) == (0, 0, {})
        assert row["equal_streams"] == row["streams"]
        assert row["resident_mib"] > 20
    assert rows[1]["windows"] > 0
    assert 0 < rows[1]["p50_ms"] <= rows[1]["p95_ms"] <= rows[1]["p99_ms"]
    assert (document["soak"]["streams"], document["soak"]["minutes"]) == (20, 0.05)
    assert "Speech: " in done.stdout and "Soak of 20 streams, 0.05 minutes" in done.stdout
    assert (tmp_path / "serve.png").read_bytes().startswith(b"\x89PNG")


def test_refused_streams_lose_their_events_and_are_named() -> None:
    sounds = continuous(bundled_speech(RATE), RATE, 2.5)
    with running_server(BUNDLED_MODEL, "--max-streams", "1") as server:
        load = run_load(server, sounds, 2, "two streams")
    assert sorted(played.problem or "" for played in load.streams) == ["", "busy"]
    row = load_row(load, {sound: ["{}"] for sound in sounds})
    assert row["problems"] == {"busy": 1}
    assert row["lost"] == 2 and row["added"] > 0
    assert not row["real_time"]


def test_a_server_that_does_not_start_is_a_named_error(tmp_path: Path) -> None:
    with (
        pytest.raises(ServerError, match=r"did not start: (?s:.*)contains no onnx/"),
        running_server(tmp_path),
    ):
        pass


def test_sounds_begin_at_different_places_and_repeat() -> None:
    ramp = np.linspace(0, 0.5, 20 * RATE, dtype=np.float32)
    sounds = continuous(ramp, RATE, 21.05)
    assert len(sounds) == VOICES
    blocks = list(sounds[1])
    assert [len(block) for block in blocks[-2:]] == [1600, 800]
    whole = np.concatenate(blocks)
    expected = (ramp * 32767).astype(np.int16)
    np.testing.assert_array_equal(whole[: 18 * RATE], expected[2 * RATE :])
    np.testing.assert_array_equal(whole[18 * RATE : 20 * RATE], expected[: 2 * RATE])
    np.testing.assert_array_equal(whole[20 * RATE :], whole[: len(whole) - 20 * RATE])


def test_one_of_ten_mostly_silent_streams_speaks_at_a_time() -> None:
    tone = np.full(RATE, 0.5, np.float32)
    streams = [np.concatenate(list(sound)) for sound in mostly_silent(tone, RATE, 30)]
    loud = np.array(
        [[np.median(np.abs(s[i * RATE :][:RATE])) > 9000 for i in range(30)] for s in streams]
    )
    assert loud.sum(axis=0).tolist() == [1] * 30
    assert loud.sum(axis=1).tolist() == [3] * VOICES


def test_a_sample_is_sent_with_its_block() -> None:
    sound = Sound(np.zeros(RATE, np.int16), RATE, 0.95)
    assert [sound.sent_after(end) for end in (0, 0.05, 0.1, 0.1001, 0.95)] == [
        *(0.1, 0.1, 0.1, 0.2, 0.95),
    ]


def test_figures_by_hand() -> None:
    sound = Sound(np.zeros(RATE, np.int16), RATE, 4)
    windows = [(9.9, 19.9), (10.0, 10.1), (11.0, 11.3), (12.1, 20.0)]
    played = Played(sound, 8.0, ["a", "b", "b"], windows)
    usage = [Usage(10.0, 100.0, 5.0, 1.0), Usage(12.0, 104.0, 8.0, 2.0)]
    row = load_row(Load([played], usage, 10.0, 12.0), {sound: ["a", "b", "c"]})
    assert row["windows"] == 2
    assert (row["p50_ms"], row["windows_per_s"]) == (200.0, 1.0)
    assert (row["server_cores"], row["client_cores"]) == (1.5, 0.5)
    assert (row["lost"], row["added"], row["equal_streams"]) == (1, 1, 0)
    assert not row["real_time"]
    equal = load_row(Load([played], usage, 10.0, 12.0), {sound: played.events})
    assert (equal["equal_streams"], equal["real_time"]) == (1, True)


def test_growth_is_counted_after_the_warm_up() -> None:
    usage = [Usage(minute * 60.0, mib, 0, 0) for minute, mib in enumerate([50, 80, 82, 81])]
    row = memory_row(usage)
    assert (row["settled_mib"], row["largest_mib"], row["growth_mib"]) == (80, 82, 2)
    rows = [{"streams": n, "resident_mib": 90 + 2.5 * n} for n in (1, 2, 4)]
    assert memory_a_stream(rows) == 2.5
    assert memory_a_stream(rows[:1]) is None


def test_lengths_and_numbers_out_of_range(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--seconds", "2"], ["--soak-minutes", "0.01"], ["--streams", "0"]):
        with pytest.raises(SystemExit):
            serve.parse_args(arguments)
        assert "must be" in capsys.readouterr().err
