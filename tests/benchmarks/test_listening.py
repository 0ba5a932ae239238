"""Conversations, how they are scored, and the benchmarks of listening as commands."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmarks.common.noises import load_noises
from benchmarks.conversations.compose import compose
from benchmarks.conversations.live_events import (
    delays_of_final_labels,
    delays_of_first_labels,
    windows_as_turns,
)
from benchmarks.conversations.ordinary import (
    EMOTIONAL,
    READER_SECONDS,
    READERS,
    alarms,
    compose_ordinary,
    split_utterances,
)
from benchmarks.scoring.diarization import agreement
from emo_listen import SegmentEvent
from emo_listen.errors import CorpusError
from emo_listen.events import ProvisionalEvent
from tests.support.scripts import run_script
from train.corpus.recordings import Clip
from train.evaluation.streams import ROOM, Turn, speech_bounds

RATE = 16000


def clip(speaker: str, label: str, seconds: float = 1.0) -> Clip:
    """Half a second of silence, a tone, half a second of silence."""
    tone = 0.3 * np.sin(2 * np.pi * 220 * np.arange(round(seconds * RATE)) / RATE)
    silence = np.zeros(RATE // 2)
    samples = np.concatenate([silence, tone, silence]).astype(np.float32)
    return Clip(f"{speaker}-{label}", label, samples, speaker)


CLIPS = [clip(speaker, label) for speaker in "abc" for label in ("anger", "fear", "neutral")]


def test_the_speech_in_a_clip_is_found():
    begin, end = speech_bounds(clip("a", "anger").samples, RATE)
    assert (begin, end) == (RATE // 2, 3 * RATE // 2)


def test_turns_of_a_conversation():
    made = compose(CLIPS, RATE, 5, np.random.default_rng(0))
    assert len(made.turns) == 5
    for turn in made.turns:
        assert turn.end - turn.start == pytest.approx(1)
        inside = made.samples[round(turn.start * RATE) : round(turn.end * RATE)]
        assert np.sqrt(np.square(inside).mean()) == pytest.approx(0.3 / np.sqrt(2), rel=1e-3)
    for before, after in zip(made.turns, made.turns[1:], strict=False):
        between = made.samples[round(before.end * RATE) : round(after.start * RATE)]
        assert 1.3 <= after.start - before.end <= 2.5
        assert np.abs(between).max() < 6 * ROOM
    again = compose(CLIPS, RATE, 5, np.random.default_rng(0))
    np.testing.assert_array_equal(made.samples, again.samples)
    assert compose(CLIPS, RATE, 5, np.random.default_rng(1)).turns != made.turns


def test_noise_has_the_given_ratio():
    hiss = np.random.default_rng(0).standard_normal(3 * RATE).astype(np.float32)
    clean = compose(CLIPS, RATE, 4, np.random.default_rng(2))
    noisy = compose(CLIPS, RATE, 4, np.random.default_rng(2), [hiss, 0.01 * hiss], 10.0)
    assert noisy.turns == clean.turns
    noise = noisy.samples - clean.samples
    assert 10 * np.log10(0.045 / np.square(noise).mean()) == pytest.approx(10, abs=0.2)


def test_ordinary_conversations_are_mostly_neutral():
    acted = [clip("a", label) for label in (*["neutral"] * 12, *["anger", "fear", "sadness"] * 5)]
    plain = [clip(reader, "neutral", 15.0) for reader in "wxyz"]
    made = compose_ordinary(acted, plain, RATE, np.random.default_rng(0))
    emotional = [turn for turn in made.turns if turn.label != "neutral"]
    assert len(emotional) == EMOTIONAL
    assert {turn.speaker for turn in emotional} == {"a"}
    assert len({turn.speaker for turn in made.turns}) == 1 + READERS
    of_readers = sum(turn.end - turn.start for turn in made.turns if turn.speaker != "a")
    assert of_readers == pytest.approx(READER_SECONDS, rel=0.25)
    again = compose_ordinary(acted, plain, RATE, np.random.default_rng(0))
    np.testing.assert_array_equal(made.samples, again.samples)


def test_readings_are_split_at_the_quietest_point():
    loud, soft = np.full(3 * RATE, 0.3, np.float32), np.full(RATE // 2, 0.001, np.float32)
    parts = split_utterances(np.concatenate([loud, soft, loud, soft, loud]), RATE)
    assert len(parts) == 3
    assert [abs(part[0]) < 0.01 for part in parts] == [False, True, True]
    assert split_utterances(loud[:RATE], RATE) == []  # too short to be a turn


def test_alarms_by_hand():
    turns = [Turn(0, 4, "neutral"), Turn(5, 7, "anger"), Turn(8, 10, "fear"), Turn(11, 13, "fear")]
    labels = {
        (0, 2, "neutral"),  # correct
        (2, 4, "fear"),  # false
        (5.5, 7, "anger"),  # detected
        (8, 10, "anger"),  # noticed, with another emotion
        (11, 13, "uncertain"),
        (20, 21, "fear"),  # false: nobody speaks
    }
    segments = [
        SegmentEvent(start=start, end=end, label=label, confidence=1.0, scores={})
        for start, end, label in sorted(labels)
    ]
    found = alarms(turns, segments, 1800)
    assert (found.segments, found.false_alarms) == (4, 2)
    assert (found.turns, found.detected, found.noticed) == (3, 1, 2)
    assert (found + found).figures() == {
        "false_alarms_per_hour": 4.0,
        "detection_rate": pytest.approx(1 / 3, abs=1e-4),
        "any_emotion_rate": pytest.approx(2 / 3, abs=1e-4),
        "right_alarms": 0.5,
    }


def test_agreement_by_hand():
    turns = [Turn(1, 2, "anger"), Turn(3, 5, "fear"), Turn(6, 7, "anger")]
    predicted = [
        Turn(0.5, 2, "anger"),  # half a second too early
        Turn(3, 4, "fear"),
        Turn(4, 5, "anger"),  # confused
        Turn(6, 7, "uncertain"),  # missed
    ]
    found = agreement(turns, predicted, 8)
    assert found.speech == pytest.approx(4)
    assert found.correct == pytest.approx(2)
    assert found.confused == pytest.approx(1)
    assert found.missed == pytest.approx(1)
    assert found.false_alarm == pytest.approx(0.5)
    assert found.accuracy == pytest.approx(0.5)
    assert found.error_rate == pytest.approx(2.5 / 4)
    assert (found.changes, found.true_changes) == (2, 2)
    both = found + found
    assert both.speech == pytest.approx(8)
    assert both.accuracy == found.accuracy
    assert both.changes_per_true_change == 1


def labelled(kind: type, start: float, end: float):
    return kind(start=start, end=end, label="anger", confidence=1.0, scores={"anger": 1.0})


def test_delays_are_from_the_true_end_and_beginning():
    turns = [Turn(1, 3, "anger"), Turn(5, 6, "fear")]
    events = [
        (labelled(ProvisionalEvent, 0.9, 1.9), 1.95),
        (labelled(ProvisionalEvent, 0.9, 2.4), 2.45),
        (labelled(SegmentEvent, 0.9, 3.1), 3.3),
        (labelled(SegmentEvent, 5.1, 6.0), 6.2),
    ]
    assert delays_of_final_labels(turns, events) == pytest.approx([0.3, 0.2])
    assert delays_of_first_labels(turns, events) == pytest.approx([0.95])
    assert windows_as_turns([event for event, _ in events], 0.5) == []


def test_a_folder_without_noises_is_refused(tmp_path: Path):
    with pytest.raises(CorpusError, match="has no recordings of ESC-10"):
        load_noises(tmp_path, RATE)


def test_damaged_noises_are_read_up_to_the_damage(tmp_path: Path):
    noise = np.random.default_rng(0).normal(0, 0.1, 4 * RATE)
    for name in ("rain-1-1-A.flac", "rain-2-2-A.flac"):
        soundfile.write(tmp_path / name, noise, RATE)
    damaged = tmp_path / "rain-2-2-A.flac"
    damaged.write_bytes(damaged.read_bytes()[: damaged.stat().st_size // 2])
    whole, short = load_noises(tmp_path, RATE)
    assert (whole.truncated, len(whole.samples)) == (False, 4 * RATE)
    assert short.truncated and RATE < len(short.samples) < 3 * RATE


def run(repository: Path, script: str, *arguments: object) -> dict:
    done = run_script(repository / "benchmarks" / script, *arguments)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.corpus
def test_listening_on_crema_d(repository: Path, shared_dir: Path, tmp_path: Path):
    noise = tmp_path / "noise"
    noise.mkdir()
    kinds: dict[tuple[str, str], Path] = {}
    for file in sorted((shared_dir / "esc-10").iterdir()):
        kind, fold = file.name.split("-")[:2]
        kinds.setdefault((kind, fold), file)
    for chosen in (("rain", "4"), ("dog_bark", "5"), ("rooster", "1"), ("baby_cry", "1")):
        (noise / kinds[chosen].name).symlink_to(kinds[chosen])
    document = run(
        repository,
        "listening.py",
        *("--data", shared_dir / "crema-d", "--noise", noise, "--output", tmp_path),
        *("--conversations", 1, "--turns", 3, "--librispeech", shared_dir / "librispeech"),
        *("--situations", 0),
    )
    assert [row["condition"] for row in document["results"]] == ["quiet", "20 dB", "10 dB", "5 dB"]
    for row in document["results"]:
        for way in ("windows", "segments"):
            found = row[way]
            assert 0 <= found["accuracy"] <= 1
            parts = found["accuracy"] + found["confused"] + found["missed"]
            assert parts == pytest.approx(1, abs=1e-3)
    assert [row["condition"] for row in document["ordinary"]] == ["quiet", "10 dB"]
    for row in document["ordinary"]:
        assert row["emotional_turns"] == 4
        assert row["detection_rate"] <= row["any_emotion_rate"] <= 1
        assert row["false_alarms_per_hour"] >= 0
    assert document["noise_alone"]["clips"] == 3  # not the one with a voice in it
    assert (tmp_path / "ordinary.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "listening.png").read_bytes().startswith(b"\x89PNG")


def test_a_short_soak(repository: Path):
    document = run(repository, "soak.py", "--hours", 0.3)
    assert document["segments"] % 9 == 0 and document["segments"] > 0
    assert document["largest_drift_samples"] == 0
