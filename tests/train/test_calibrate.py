"""Calibration: temperature and threshold are found, stored, and used by the runtime."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from emo_listen import EmotionModel, GapEvent, SegmentEvent, WindowEvent, listen
from emo_listen.audio import load_audio
from emo_listen.errors import CorpusError
from emo_listen.events import LabelEvent
from emo_listen.model import BUNDLED_MODEL
from emo_listen.model_settings import ModelSettings
from train import calibrate
from train.corpus.recordings import Clip, load_clips
from train.evaluation import calibration
from train.evaluation.calibration import (
    FEWEST,
    Answers,
    above,
    calibration_error,
    choose_threshold,
    fit_temperature,
    held_out,
    reliability,
)
from train.evaluation.listening import events_of, predict_streams, with_turns
from train.evaluation.streams import Turn, streams_of_speakers
from train.studies import compare_calibration

CLIPS = 40
ENOUGH = 15
"""Clips of the corpus that is calibrated on, and segments that are enough for its threshold."""


def drawn(n: int, temperature: float = 1.0, speakers: int = 4) -> Answers:
    """Logits of a model that is `temperature` times too sure, and classes drawn accordingly."""
    random = np.random.default_rng(0)
    logits = random.normal(0, 2, (n, 4))
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    classes = (probabilities.cumsum(axis=1) < random.random((n, 1))).sum(axis=1)
    return Answers(temperature * logits, classes, [f"speaker {i % speakers}" for i in range(n)])


def test_a_known_temperature_is_found():
    answers = drawn(20000)
    logits, classes = answers.logits, answers.classes
    assert fit_temperature(logits, classes) == pytest.approx(1, abs=0.03)
    assert fit_temperature(2.5 * logits + 7, classes) == pytest.approx(2.5, abs=0.08)


def test_calibration_error_is_the_weighted_gap():
    confidences = np.array([0.95, 0.95, 0.95, 0.95, 0.55, 0.55, 1.0])
    right = np.array([True, True, True, False, True, False, True])
    rows = reliability(confidences, right)
    assert [count for _, _, count in rows] == [2, 5]
    gap = 2 * abs(0.55 - 0.5) + 5 * abs(0.96 - 0.8)
    assert calibration_error(rows) == pytest.approx(gap / 7)
    assert calibration_error(reliability(np.full(4, 0.75), np.arange(4) < 3)) == 0


def test_the_threshold_is_the_smallest_from_which_all_keep_the_rate():
    confidences = np.repeat([0.3, 0.5, 0.7, 0.9], 100)
    right = np.concatenate([np.arange(100) < n for n in (20, 60, 60, 90)])
    # What remains above 0.50, 0.70 and 0.90 is right in 0.70, 0.75 and 0.90.
    assert choose_threshold(confidences, right, 0.9) == 0.71
    assert choose_threshold(confidences, right, 0.75) == 0.51
    assert choose_threshold(confidences, right, 0.7) == 0.31
    assert choose_threshold(confidences, right, 0.5) == 0
    assert choose_threshold(confidences, right, 0.91) is None
    assert above(confidences, right, 0.51) == (0.5, 0.75)


def test_a_rate_that_is_lost_again_above_is_not_reached():
    confidences = np.repeat([0.5, 0.7, 0.9], 100)
    right = np.concatenate([np.arange(100) < n for n in (50, 100, 70)])
    assert above(confidences, right, 0.7)[1] == 0.85
    assert choose_threshold(confidences, right, 0.8) is None
    # Too few windows are no evidence either way.
    few = np.append(confidences, np.full(FEWEST - 1, 0.95))
    assert choose_threshold(few, np.append(right, np.zeros(FEWEST - 1, bool)), 0.45) == 0
    assert choose_threshold(confidences[: FEWEST - 1], right[: FEWEST - 1], 0.1) is None


def test_held_out_speakers_are_not_fitted_on():
    answers = drawn(8000, temperature=2.0)
    found = held_out(answers, answers, 0.8)
    assert found is not None
    assert found.expected_calibration_error < 0.03
    assert found.accuracy == pytest.approx(0.8, abs=0.03)
    assert 0.1 < found.coverage < 0.9
    # One speaker whose answers are all wrong: the others' fit cannot know it.
    of_one = np.array([name == "speaker 0" for name in answers.speakers])
    answers.classes[of_one] = (answers.logits[of_one].argmax(axis=1) + 1) % 4
    found = held_out(answers, answers, 0.8)
    assert found is not None
    assert found.expected_calibration_error > 0.1
    unknown = Answers(answers.logits, answers.classes, [None] * 8000)
    assert held_out(unknown, unknown, 0.8) is None


def test_the_comparison_finds_what_is_there():
    answers = drawn(1000, temperature=2.0)
    results = compare_calibration.compare(answers)
    (nll, error, _), ((low, _, _), _) = results["nothing"]
    best, _ = results["temperature"]
    assert nll > best[0] and error > best[1] and low > 0
    # Nothing is wrong but the temperature, so that biases do not help.
    assert results["temperature, class biases"][0][0] == pytest.approx(best[0], abs=0.01)
    # A class that is too likely is corrected by biases alone.
    answers.logits[:, 2] += 3
    results = compare_calibration.compare(answers)
    (low, _, _), (high, _, uar_high) = results["temperature, class biases"][1]
    assert low < high < 0 < uar_high
    with pytest.raises(CorpusError, match="two or more known speakers"):
        compare_calibration.compare(Answers(answers.logits, answers.classes, ["one"] * 1000))


def test_what_is_scored_is_what_the_listener_tells(bundled_model, sample_file, tmp_path):
    speech = load_audio(sample_file, 16000)
    clips = [
        Clip(f"{n}", label, speech[n * 32000 : (n + 1) * 32000], speaker)
        for n, (label, speaker) in enumerate(
            [("anger", "a"), ("fear", "b"), ("sadness", "a"), ("neutral", None)]
        )
    ]
    predictions = predict_streams(bundled_model, clips)
    streams = streams_of_speakers(clips, 16000)
    # The clips of one speaker share a stream; of an unknown one, each has its own.
    assert [sorted(turn.label for turn in stream.turns) for stream in streams] == [
        ["anger", "sadness"],
        ["fear"],
        ["neutral"],
    ]
    events: list[LabelEvent] = []
    for n, stream in enumerate(streams):
        soundfile.write(tmp_path / f"{n}.wav", stream.samples, 16000, subtype="FLOAT")
        listened = listen(tmp_path / f"{n}.wav", model=bundled_model, emit="all")
        events += [event for event in listened if isinstance(event, LabelEvent)]
    temperature = bundled_model.settings.temperature
    segment_confidences = [event.confidence for event in events if isinstance(event, SegmentEvent)]
    np.testing.assert_allclose(
        predictions.segments.confidences(temperature), segment_confidences, atol=1e-3
    )
    # Windows as if all classes were equally frequent, as they are among acted clips.
    scores = [list(event.scores.values()) for event in events if isinstance(event, WindowEvent)]
    without_prior = np.array(scores) / bundled_model.require_head().prior
    without_prior /= without_prior.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(
        predictions.windows.confidences(temperature), without_prior.max(axis=1), atol=5e-3
    )
    assert set(predictions.segments.speakers) == {"a", "b", None}
    assert len(predictions.windows.classes) > len(predictions.segments.classes) >= 4


def test_an_event_belongs_to_the_turn_that_fills_most_of_it():
    turns = [Turn(1, 2, "anger"), Turn(3, 4, "fear")]
    fields: Any = {"label": "anger", "confidence": 1.0, "scores": {"anger": 1.0}}
    spans = [(0.0, 0.9), (0.5, 1.5), (1.8, 3.5), (2.1, 2.9)]
    events = [WindowEvent(start=start, end=end, **fields) for start, end in spans]
    pairs = with_turns([*events, GapEvent(time=2, seconds=1, reason="device")], turns)
    assert [(pair[0].start, pair[1].label) for pair in pairs] == [(0.5, "anger"), (1.8, "fear")]


def test_clips_without_speech_are_a_named_error(bundled_model):
    silence = [Clip("silence", "anger", np.zeros(32000, np.float32), "a")]
    with pytest.raises(CorpusError, match="No speech was found in any of the 1 clips"):
        predict_streams(bundled_model, silence)


def uncalibrated(folder: Path) -> Path:
    """Copy the bundled model to `folder`, as it was before its calibration, with windows of 1 s."""
    shutil.copytree(BUNDLED_MODEL, folder)
    settings = ModelSettings.read(folder)
    settings.temperature, settings.uncertain_below, settings.window = 1.0, 0.0, 1.0
    settings.head = None
    settings.write(folder)
    return folder


@pytest.fixture
def folder(tmp_path):
    return uncalibrated(tmp_path / "model")


@pytest.fixture(scope="module")
def seconds(tmp_path_factory, sample_file):
    """A corpus of seconds of the synthetic voice; the 35 % least confident segments are wrong."""
    folder = tmp_path_factory.mktemp("seconds")
    model = EmotionModel.load(uncalibrated(folder / "model"))
    # Exact in 16 bits, as which recordings are cached.
    speech = (np.rint(load_audio(sample_file, 16000) * 32768) / 32768).astype(np.float32)
    clips = []
    for n, start in enumerate(np.linspace(0, len(speech) - 16000, CLIPS).astype(int)):
        sound = speech[start : start + 16000]
        soundfile.write(folder / f"{n}.wav", sound, 16000, subtype="FLOAT")
        clips.append(Clip(f"{n}.wav", f"{n}.wav", sound, f"speaker {n % 4}"))
    segment_of = {
        turn.label: event
        for stream in streams_of_speakers(clips, 16000)
        for event, turn in with_turns(events_of(model, stream.samples), stream.turns)
        if isinstance(event, SegmentEvent)
    }
    sure = np.quantile([event.confidence for event in segment_of.values()], 0.35)
    rows = [("file", "label", "speaker", "split")]
    for clip in clips:
        label = model.labels[0]
        if (event := segment_of.get(clip.name)) is not None:
            label = event.label
            if event.confidence < sure:
                label = next(name for name in model.labels if name != label)
        rows.append((clip.name, label, str(clip.speaker), "validation"))
    with (folder / "clips.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder


@pytest.fixture
def corpus(seconds, tmp_path, monkeypatch):
    """A copy of it, where fewer segments than usual are enough for a threshold."""
    monkeypatch.setattr(calibration, "FEWEST", ENOUGH)
    monkeypatch.setattr(calibrate, "FEWEST", ENOUGH)
    return Path(shutil.copytree(seconds, tmp_path / "seconds")) / "clips.csv"


def run(model: Path, corpus: Path, *arguments: str) -> int:
    cache = corpus.parent / "cache"
    return calibrate.main(
        [str(model), "--data", str(corpus), "--cache_dir", str(cache), *arguments]
    )


def test_a_model_is_calibrated_in_place(corpus, folder):
    assert run(folder, corpus) == 0
    model = EmotionModel.load(folder)
    settings = model.settings
    stored = settings.origin["calibration"]
    assert stored["speakers"] == 4
    assert 0.9 * CLIPS < stored["clips"] <= CLIPS  # No speech is found in a pause.
    assert stored["windows"] > stored["segments"] > ENOUGH
    assert stored["network"] == "onnx/model_quantized.onnx"
    assert settings.temperature != 1
    for error in ("before", "after", "segments"):
        assert 0 <= stored["expected_calibration_error"][error] <= 1
    assert 0 <= stored["held_out_speakers"]["expected_calibration_error"] <= 1

    # What the folder tells is what the listener then tells.
    clips = load_clips(str(corpus), "validation", 16000, cache_dir=corpus.parent / "cache")
    segments = [
        (event.label, turn.label)
        for stream in streams_of_speakers(clips, 16000)
        for event, turn in with_turns(events_of(model, stream.samples), stream.turns)
        if isinstance(event, SegmentEvent)
    ]
    certain = [given == true for given, true in segments if given != "uncertain"]
    assert settings.uncertain_below == stored["uncertain"]["below"] > 0
    assert len(segments) == stored["segments"]
    assert len(certain) / len(segments) == pytest.approx(stored["uncertain"]["coverage"], abs=1e-4)
    assert np.mean(certain) == pytest.approx(stored["uncertain"]["accuracy"], abs=1e-4)
    assert 0.8 <= np.mean(certain) < 1

    for picture in (calibrate.PICTURE, calibrate.CERTAINTY_PICTURE):
        assert (folder / picture).read_bytes().startswith(b"\x89PNG")
    card = (folder / "README.md").read_text()
    assert card.count(calibrate.HEADING) == 1
    assert f"Below a confidence of {settings.uncertain_below:g}" in card
    assert "## ONNX" in card

    # Calibrating again starts from the logits, not from what was stored.
    assert run(folder, corpus) == 0
    again = ModelSettings.read(folder)
    assert again.temperature == pytest.approx(settings.temperature, rel=1e-2)
    assert again.uncertain_below == settings.uncertain_below
    assert (folder / "README.md").read_text().count(calibrate.HEADING) == 1


def test_a_rate_that_no_confidence_reaches_leaves_all_certain(corpus, folder, capsys):
    corpus.write_text("\n".join(corpus.read_text().splitlines()[:ENOUGH]) + "\n")
    assert run(folder, corpus) == 0
    settings = ModelSettings.read(folder)
    assert settings.uncertain_below == 0
    assert settings.origin["calibration"]["uncertain"] == {"asked_accuracy": 0.8, "below": None}
    assert (
        "above no confidence do at least 15 segments have an accuracy of 0.8"
        in capsys.readouterr().out
    )


@pytest.mark.parametrize("rate", ["0", "1", "80"])
def test_a_rate_that_is_no_fraction_is_refused(rate, capsys):
    with pytest.raises(SystemExit):
        calibrate.main(["a model", "--data", "a corpus", "--right", rate])
    assert "must be above 0 and below 1" in capsys.readouterr().err


def test_classes_that_the_model_does_not_know_are_refused(corpus, folder, capsys):
    before = json.loads((folder / "emo_listen.json").read_text())
    corpus.write_text(corpus.read_text().replace("anger", "boredom"))
    assert run(folder, corpus) == 2
    assert "does not know the corpus's boredom" in capsys.readouterr().err
    assert json.loads((folder / "emo_listen.json").read_text()) == before
