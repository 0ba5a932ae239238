"""The benchmarks of ordinary speech, unseen corpora and degraded speech."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmarks import everyday, robustness, unseen
from benchmarks.common import degradations
from benchmarks.scoring.card import with_section
from benchmarks.scoring.enrolment import (
    answers_of,
    answers_with_baselines,
    baseline_of,
    enrol,
    outputs_of,
)
from benchmarks.scoring.figures import neutral_errors, speaker_interval
from emo_listen import Baseline, EmotionModel
from emo_listen.audio import load_audio
from emo_listen.errors import CorpusError
from tests.support.scripts import run_script
from tests.support.tiny_models import write_head_model
from train.corpus.recordings import Clip
from train.evaluation.calibration import Answers

RATE = 16000
LEVELS = {"anger": 3.0, "neutral": 1.0, "sadness": 0.3}
VOICES = {"loud": 0.2, "middle": 0.05, "soft": 0.01, "whisper": 0.003}


def tone(frequency: float, seconds: float = 1.0) -> np.ndarray:
    time = np.arange(round(seconds * RATE)) / RATE
    return (0.3 * np.sin(2 * np.pi * frequency * time)).astype(np.float32)


def level(samples: np.ndarray) -> float:
    return float(10 * np.log10(np.square(samples).mean()))


def hiss(seed: int, seconds: float = 1.0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return random.standard_normal(round(seconds * RATE)).astype(np.float32)


def voices() -> list[Clip]:
    """Four voices, each as loud as it is; anger is louder than a voice's ordinary speech."""
    return [
        Clip(f"{voice}-{label}-{take}", label, np.float32(volume * factor) * hiss(take), voice)
        for voice, volume in VOICES.items()
        for label, factor in LEVELS.items()
        for take in range(4)
    ]


@pytest.fixture
def head_model(tmp_path) -> EmotionModel:
    return EmotionModel.load(write_head_model(tmp_path / "with-head"))


@pytest.fixture
def corpus(tmp_path) -> Path:
    rows = [("file", "label", "speaker", "split")]
    for clip in voices():
        soundfile.write(tmp_path / f"{clip.name}.wav", clip.samples, RATE, subtype="FLOAT")
        rows.append((f"{clip.name}.wav", clip.label, str(clip.speaker), "validation"))
    with (tmp_path / "voices.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return tmp_path / "voices.csv"


@pytest.fixture
def noise(tmp_path) -> Path:
    folder = tmp_path / "noise"
    folder.mkdir()
    soundfile.write(folder / "rain-4-1-A.wav", 0.1 * hiss(1, 5), RATE)
    return folder


def test_degradations_are_deterministic(sample_file):
    speech = load_audio(sample_file, RATE)[: 2 * RATE]
    every = degradations.standard(RATE, [hiss(0)], [speech])
    for name, degrade in every.items():
        first, again = (degrade(speech, np.random.default_rng(0)) for _ in range(2))
        np.testing.assert_array_equal(first, again)
        assert first.dtype == np.float32
        assert len(first) == len(speech) + (4 * RATE if "silence" in name else 0)
        assert (name == "clean") == np.array_equal(first, speech)
    assert set(degradations.BY_SPEAKER) <= set(every)
    assert not any("babble" in name for name in degradations.standard(RATE, [hiss(0)], []))


def loss(degrade: degradations.Degrade, frequency: float) -> float:
    """Return the attenuation of a tone in dB, measured in its middle."""
    middle = slice(RATE // 4, -RATE // 4)
    before = tone(frequency)
    return level(before[middle]) - level(degrade(before, np.random.default_rng(0))[middle])


def test_frequency_responses_of_filters():
    for cutoff in (80, 300):
        degrade = degradations.high_pass(RATE, cutoff)
        assert loss(degrade, cutoff / 2) == pytest.approx(30, abs=1)
        assert loss(degrade, cutoff) == pytest.approx(3, abs=0.2)
        assert loss(degrade, 4 * cutoff) == pytest.approx(0, abs=0.1)
    assert loss(degradations.low_pass(RATE, 2000), 4000) == pytest.approx(30, abs=1)
    telephone = degradations.standard(RATE, [], [])["telephone"]
    assert loss(telephone, 1000) == pytest.approx(0, abs=0.2)
    assert loss(telephone, 100) > 35 and loss(telephone, 6000) > 35
    assert level(degradations.mu_law(tone(440)) - tone(440)) < level(tone(440)) - 30


def test_noise_and_babble_have_the_given_ratio():
    speech = tone(440)
    for degrade in (degradations.noises([hiss(1)], 5), degradations.babble([hiss(2)], 5)):
        added = degrade(speech, np.random.default_rng(0)) - speech
        assert level(speech) - level(added) == pytest.approx(5, abs=0.01)


@pytest.mark.parametrize("shape", [degradations.LIVING_ROOM, degradations.FAR_FIELD])
def test_reverberation_times_of_rooms(shape):
    response = degradations.impulse_response(shape, RATE, np.random.default_rng(1))
    assert response[0] == 1  # the direct sound
    left = 10 * np.log10(np.square(response)[::-1].cumsum()[::-1] / np.square(response).sum())
    measured = 3 * (np.argmax(left < -25) - np.argmax(left < -5)) / RATE
    low, high = np.array(shape.reverberation) * degradations.DECAY_FACTOR
    assert 0.8 * low <= measured <= 1.2 * high


def test_a_section_of_the_card_replaces_an_older_one():
    card = "---\na: b\n---\n\n# Model\n\n## Scores\n\nMany.\n"
    once = with_section(card, "## First", ["a"], first=True)
    assert once == "---\na: b\n---\n\n# Model\n\n## First\n\na\n\n## Scores\n\nMany.\n"
    both = with_section(once, "## Last", ["b"], first=False)
    assert both == f"{once}\n## Last\n\nb\n"
    assert with_section(both, "## First", ["c"], first=True) == both.replace("\na\n", "\nc\n")
    assert with_section(both, "## Last", ["b"], first=False) == both


def test_both_errors_on_neutral_speech():
    logits = np.log(np.eye(3)[[0, 0, 1, 1, 2]] + 1e-6)
    answers = Answers(logits, np.array([0, 1, 1, 2, 2]), list("abcab"))
    labels = ["anger", "neutral", "sadness"]
    assert neutral_errors(answers, labels) == {
        "neutral_called_emotional": 0.5,
        "emotional_called_neutral": pytest.approx(1 / 3),
    }
    assert neutral_errors(answers, ["a", "b", "c"]) == {}


def test_the_interval_of_the_uar_weights_classes_equally():
    # Two speakers of three are always right; the many clips of one class do not matter.
    speakers = np.repeat(list("abc"), 11)
    classes = np.tile([0] * 10 + [1], 3)
    given = np.where((speakers == "c") & (classes == 1), 0, classes)
    answers = Answers(np.eye(2)[given], classes, list(speakers))
    assert speaker_interval(answers) == pytest.approx([10 / 11, 1])
    assert speaker_interval(answers, uar=True) == pytest.approx([0.5, 1])


def test_clips_of_a_baseline_are_not_scored(head_model):
    clips = voices()
    outputs = outputs_of(head_model, clips, "clips")
    chosen = enrol(clips, 2, np.random.default_rng(0))
    assert {speaker: len(indices) for speaker, indices in chosen.items()} == dict.fromkeys(
        VOICES, 2
    )
    # One always remains; speakers with only one are left out.
    assert all(len(i) == 3 for i in enrol(clips, 9, np.random.default_rng(0)).values())
    few = [clip for clip in clips if clip.label != "neutral" or clip.name.endswith("0")]
    assert enrol(few, 1, np.random.default_rng(0)) == {}

    found = baseline_of(head_model, clips, outputs, chosen["loud"])
    given = [clips[index].samples for index in chosen["loud"]]
    expected = Baseline.from_speech(head_model, given, RATE)
    np.testing.assert_allclose(found.embedding, expected.embedding, rtol=1e-5)
    assert (found.seconds, found.sha256) == (expected.seconds, expected.sha256)

    own = answers_with_baselines(head_model, clips, outputs, chosen)
    assert len(own.classes) == len(clips) - 8
    assert own.right.all()
    assert not answers_of(head_model, clips, outputs).right.all()
    others = dict(zip(VOICES, [*list(VOICES)[1:], "loud"], strict=True))
    assert answers_with_baselines(head_model, clips, outputs, chosen, others).right.mean() < 0.7


def test_two_of_three_turns_of_a_stream_are_neutral():
    neutral, emotional = [1, 2, 3], [10, 11, 12, 13, 14]
    turns = unseen.stream_of(neutral, emotional, np.random.default_rng(0))
    assert sorted(turn for turn in turns if turn >= 10) == emotional
    assert len(turns) == 15
    assert {turns.count(turn) for turn in neutral} <= {3, 4}


def test_an_unseen_corpus_with_every_kind_of_baseline(repository, corpus, head_model, tmp_path):
    card = head_model.file.parents[1] / "README.md"
    card.write_text("# A tiny model\n\n## Scores\n\nNone.\n")
    with corpus.open("a") as file:
        file.write("loud-anger-0.wav,boredom,loud,validation\n")
    done = run_script(
        repository / "benchmarks" / "unseen.py",
        *("--model", head_model.file.parents[1], "--data", corpus),
        *("--output", tmp_path / "out", "--cache_dir", tmp_path / "cache"),
        "--write_card",
    )
    assert done.returncode == 0, done.stderr[-2000:]
    document = json.loads(done.stdout.splitlines()[-1])
    rows = {row["baseline"]: row for row in document["results"]}
    assert list(rows) == [
        *("no baseline", "1 neutral clip", "2 neutral clips", "3 neutral clips"),
        *("5 neutral clips", "10 neutral clips", "running", "another speaker's"),
        "of angry clips",
    ]
    assert (document["clips"], document["left_out"]) == (48, 1)
    assert "Skipped 1 clips of classes that the model does not know." in done.stdout
    assert rows["5 neutral clips"]["uar"] == 1
    assert rows["no baseline"]["uar"] < 0.8
    assert rows["another speaker's"]["uar"] < 0.8
    assert rows["of angry clips"]["neutral_called_emotional"] == 1
    assert card.read_text().startswith(f"# A tiny model\n\n{unseen.HEADING}\n")
    assert "| 5 neutral clips | 1.000 |" in card.read_text()
    assert (card.parent / "unseen.png").is_file()
    assert (tmp_path / "out" / "unseen.png").read_bytes().startswith(b"\x89PNG")


def test_degraded_clips_are_scored_with_and_without_a_baseline(
    corpus, head_model, noise, tmp_path, capsys, monkeypatch
):
    for name, values in (("SNRS", (5,)), ("HIGH_PASS", (300,)), ("LOW_PASS", (2000,))):
        monkeypatch.setattr(robustness, name, values)
    folders = ["--output", str(tmp_path / "out"), "--cache_dir", str(tmp_path / "cache")]
    given = ["--data", str(corpus), "--librispeech", str(corpus), "--noise", str(noise), *folders]
    model = ["--model", str(head_model.file.parents[1])]
    document = robustness.run(robustness.parse_args([*model, *given]))
    rows = {row["degradation"]: row for row in document["results"]}
    assert rows["clean"]["baseline"]["accuracy"] == 1
    assert rows["30 dB softer"]["baseline"]["accuracy"] == 1  # the baseline is softer, too
    assert rows["30 dB softer"]["no_baseline"]["accuracy"] < 0.5
    assert list(document["curves"]) == ["babble", "noise", "high-pass", "low-pass"]
    for picture in ("robustness.png", "robustness_curves.png"):
        assert (tmp_path / "out" / picture).read_bytes().startswith(b"\x89PNG")
    capsys.readouterr()
    headless = tmp_path / "headless"
    shutil.copytree(head_model.file.parents[1], headless)
    (headless / "emo_listen.json").unlink()
    arguments = ["--model", str(headless), *given, "--no-curves", "--limit", "6"]
    without = robustness.run(robustness.parse_args(arguments))
    assert all("baseline" not in row for row in without["results"])
    assert "does not support baselines" in capsys.readouterr().out


def test_ordinary_speech_by_label(bundled_model, sample_file, noise, tmp_path):
    folder = tmp_path / "speech"
    folder.mkdir()
    for n in range(3):
        samples = load_audio(sample_file, RATE)[n * 2 * RATE : (n * 2 + 3) * RATE]
        soundfile.write(folder / f"{n}.wav", samples, RATE)
    arguments = ["--folder", str(folder), "--noise", str(noise), "--output", str(tmp_path / "out")]
    document = everyday.run(everyday.parse_args(arguments))
    assert document["results"][0]["condition"] == "clean"
    for row in document["results"]:
        assert sum(row["by_label"].values()) == pytest.approx(1)
        total = row["neutral"] + row["uncertain"] + row["false_emotion"]
        assert total == pytest.approx(1)
        low, high = row["false_emotion_95"]
        assert low - 1e-9 <= row["false_emotion"] <= high + 1e-9
        assert row["segment_s"] > 3
    assert (tmp_path / "out" / "everyday.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(CorpusError, match="has no audio files"):
        everyday.run(everyday.parse_args(["--folder", str(tmp_path / "out"), *arguments[2:]]))
    with pytest.raises(CorpusError, match="does not exist"):
        everyday.run(everyday.parse_args(["--folder", str(tmp_path / "none"), *arguments[2:]]))
