"""Baselines: computing, saving, refusing unsuitable ones, and their effect on labels."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from emo_listen import Baseline, EmotionModel, SegmentEvent, WindowEvent, listen
from emo_listen.audio import load_audio
from emo_listen.baselines.references import FixedReference
from emo_listen.engine import Engine, ListenOptions
from emo_listen.errors import AudioInputError, BaselineError, ModelError
from emo_listen.events import Event, LabelEvent
from emo_listen.head import Head, voice_temperature
from tests.support.tiny_models import HEAD, LABELS, write_head_model, write_model

RATE = 16000


def noise(seconds: float, level: float, seed: int = 0) -> np.ndarray:
    samples = np.random.default_rng(seed).standard_normal(round(seconds * RATE))
    return (level * samples).astype(np.float32)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> EmotionModel:
    return EmotionModel.load(write_head_model(tmp_path_factory.mktemp("models") / "levels"))


def test_logits_relative_to_a_baseline_need_no_second_run(model: EmotionModel) -> None:
    clip, ordinary = noise(2, 0.5), noise(5, 0.3, seed=1)
    baseline = Baseline.from_speech(model, [ordinary], RATE)
    prediction = model.predict(clip, RATE, baseline=baseline)
    embedding = model.embed(clip, RATE)
    assert embedding.dtype == np.float32 and embedding.shape == (2,)
    np.testing.assert_array_equal(prediction.embedding, embedding)
    logits = np.array(HEAD["weight"]) @ (embedding - baseline.embedding) + HEAD["bias"]
    logits /= voice_temperature(0.0)
    expected = np.exp(logits) / np.exp(logits).sum()
    np.testing.assert_allclose(list(prediction.scores.values()), expected, atol=1e-6)


def test_a_loud_voice_is_angry_only_beside_itself(model: EmotionModel) -> None:
    ordinary, shouted = noise(3, 0.5), noise(3, 2.0)
    assert model.predict(ordinary, RATE).label == "anger"
    baseline = Baseline.from_speech(model, [ordinary], RATE)
    assert model.predict(ordinary, RATE, baseline=baseline).label == "neutral"
    assert model.predict(shouted, RATE, baseline=baseline).label == "anger"


def test_clips_weigh_by_their_length_and_long_ones_are_cut(model: EmotionModel) -> None:
    clips = [noise(1, 0.1), noise(7, 0.2)]
    baseline = Baseline.from_speech(model, clips, RATE)
    parts = [clips[0], *np.array_split(clips[1], 3)]
    expected = sum(len(part) * model.embed(part, RATE) for part in parts) / (8 * RATE)
    np.testing.assert_allclose(baseline.embedding, expected, atol=1e-6)
    assert baseline.seconds == 8


def test_a_saved_baseline_is_the_same(model: EmotionModel, tmp_path: Path) -> None:
    baseline = Baseline.from_speech(model, [noise(2, 0.3)], RATE)
    baseline.save(tmp_path / "me.json")
    loaded = Baseline.load(tmp_path / "me.json")
    np.testing.assert_array_equal(loaded.embedding, baseline.embedding)
    assert loaded.embedding.dtype == np.float32
    assert (loaded.seconds, loaded.model, loaded.sha256) == (2, model.name, model.sha256)


@pytest.mark.parametrize(
    "change",
    [
        None,
        "{",
        "[]",
        "7",
        '{"type": "analysis"}',
        {"embedding": "loud"},
        {"embedding": [[1.0, 2.0]]},
        {"embedding": [1.0, float("nan")]},
        {"embedding": [1e300, 1.0]},
        {"embedding": [{}]},
        {"seconds": 0},
        {"seconds": None},
        {"seconds": float("inf")},
        {"sha256": None, "embedding": []},
        "[" * 100_000,
        " " * 2_000_000,
    ],
)
def test_a_file_that_is_not_a_baseline_is_refused(
    model: EmotionModel, tmp_path: Path, change
) -> None:
    path = tmp_path / "me.json"
    if isinstance(change, dict):
        Baseline.from_speech(model, [noise(2, 0.3)], RATE).save(path)
        path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    elif change is not None:
        path.write_text(change)
    with pytest.raises(BaselineError, match=r"me\.json"):
        model.shift(Baseline.load(path))


def test_a_baseline_of_another_model_is_refused(model: EmotionModel, tmp_path: Path) -> None:
    baseline = Baseline.from_speech(model, [noise(2, 0.3)], RATE)
    folder = write_head_model(tmp_path / "other")
    network = folder / "onnx" / "model.onnx"
    network.write_bytes(network.read_bytes() + b"\x32\x00")  # An empty doc_string.
    other = EmotionModel.load(folder)
    with pytest.raises(BaselineError, match=r"belongs to another model.*enroll again"):
        other.predict(noise(1, 0.3), RATE, baseline=baseline)
    with pytest.raises(BaselineError, match="belongs to another model"):
        listen(Path("absent.wav"), model=other, baseline=baseline)


def test_a_model_without_a_head_supports_no_baseline(
    model: EmotionModel, sample_file: Path, tmp_path: Path
) -> None:
    plain = EmotionModel.load(write_model(tmp_path / "plain"))
    baseline = Baseline.from_speech(model, [noise(2, 0.3)], RATE)
    for use in (
        lambda: plain.predict(noise(1, 0.3), RATE, baseline=baseline),
        lambda: plain.predict_batch([noise(1, 0.3)], RATE, baseline=baseline),
        lambda: Baseline.from_speech(plain, [noise(1, 0.3)], RATE),
        lambda: listen(sample_file, model=plain, baseline=baseline),
    ):
        with pytest.raises(BaselineError, match=r"^plain does not support baselines"):
            use()
    assert list(listen(sample_file, model=plain, baseline="auto")) == list(
        listen(sample_file, model=plain, baseline="off")
    )


def test_speech_is_needed(model: EmotionModel) -> None:
    with pytest.raises(AudioInputError, match="at least one clip"):
        Baseline.from_speech(model, [], RATE)
    with pytest.raises(AudioInputError, match="too short"):
        Baseline.from_speech(model, [noise(0.05, 0.3)], RATE)
    with pytest.raises(AudioInputError, match="sampling rate 0 is not valid"):
        Baseline.from_speech(model, [noise(1.0, 0.3)], 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight": [[1.0, 2.0]]}, "head.weight has the shape"),
        ({"weight": "x"}, "head.weight is not an array"),
        ({"weight": [[1.0, 2.0], [3.0]]}, "head.weight is not an array"),
        ({"bias": None}, "head.bias"),
        ({"bias": [0.0, 0.0, float("nan")]}, "head.bias holds values that are not finite"),
        ({"population": []}, "head.population"),
        ({"population": [0.0, 10**400]}, "head.population"),
        ({"class_offsets": [[0.0] * 3] * 2}, "head.class_offsets has the shape"),
        ({"speaker_covariance": [[-1.0, 0, 0], [0, 1, 0], [0, 0, 1]]}, "not a covariance"),
        ({"noise_covariance": [[1, 0, 5], [0, 1, 0], [0, 0, 1]]}, "not a covariance"),
        ({"prior": [0.5, -0.5, 1.0]}, "head.prior"),
        ({"prior": [0, 0, 0]}, "head.prior"),
    ],
)
def test_an_unusable_head_is_named(change: dict, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        Head.from_json({**HEAD, **change}, LABELS)


def test_missing_fields_of_a_head_have_defaults() -> None:
    head = Head.from_json(HEAD, LABELS)
    np.testing.assert_allclose(head.prior, [0.1, 0.8, 0.1])
    np.testing.assert_array_equal(head.class_offsets, [[3, -3, 0], [0, 0, 0], [0, -3, 3]])
    unnamed = Head.from_json(HEAD, ["0", "1", "2"])
    np.testing.assert_allclose(unnamed.prior, [1 / 3] * 3)


def test_labels_of_a_stream_are_relative_to_the_baseline(
    model: EmotionModel, sample_file: Path, tmp_path: Path
) -> None:
    samples = load_audio(sample_file, RATE)
    voice = Baseline.from_speech(model, [samples], RATE)
    voice.save(tmp_path / "me.json")
    windows = {}
    for name, baseline in (("off", "off"), ("voice", voice), ("file", tmp_path / "me.json")):
        windows[name] = [
            event
            for event in listen(sample_file, model=model, emit="windows", baseline=baseline)
            if isinstance(event, WindowEvent)
        ]
    assert windows["voice"] == windows["file"]
    assert {event.baseline_seconds for event in windows["off"]} == {0}
    assert {event.baseline_seconds for event in windows["voice"]} == {round(voice.seconds, 1)}
    for name, judged_by in (("off", None), ("voice", voice)):
        event = windows[name][3]
        cut = samples[round(event.start * RATE) : round(event.end * RATE)]
        alone = model.predict(cut, RATE, baseline=judged_by)
        # A stream is mostly ordinary speech, a clip may be of any class.
        expected = np.array(list(alone.scores.values())) * model.require_head().prior
        expected /= expected.sum()
        assert event.label == model.labels[expected.argmax()]
        assert event.confidence == pytest.approx(expected.max(), abs=1e-4)


def test_the_prior_counts_more_for_an_unknown_voice(model: EmotionModel, sample_file: Path) -> None:
    scores = {}
    for unknown in (0.0, 0.4):
        reference = FixedReference(np.array([0.3, -0.2, 0.1]), unknown=unknown)
        scores[unknown] = [
            (type(event), np.array(list(event.scores.values())))
            for event in listen(sample_file, model=model, emit="all", baseline=reference)
            if isinstance(event, WindowEvent | SegmentEvent)
        ]
    for (kind, known), (same, flat) in zip(scores[0.0], scores[0.4], strict=True):
        assert kind is same
        sharper = voice_temperature(0.4) / voice_temperature(0.0)
        assert sharper > 1
        expected = (np.log(np.maximum(known, 1e-9)) - model.log_prior) / sharper + model.log_prior
        expected = np.exp(expected) / np.exp(expected).sum()
        np.testing.assert_allclose(flat, expected, atol=3e-3)
    assert {kind for kind, _ in scores[0.0]} == {WindowEvent, SegmentEvent}


@pytest.mark.parametrize("vad", [True, False])
def test_the_running_baseline_does_not_depend_on_block_sizes(
    model: EmotionModel, sample_file: Path, vad: bool
) -> None:
    samples = load_audio(sample_file, RATE)

    def segments(block: int) -> list[Event]:
        engine = Engine(model, ListenOptions(3.0, 0.5, vad))
        events: list[Event] = []
        for start in range(0, len(samples), block):
            events += engine.push(samples[start : start + block])
        events += engine.finish()
        return [event for event in events if isinstance(event, SegmentEvent)]

    expected = segments(len(samples))
    known = [event.baseline_seconds for event in expected if isinstance(event, LabelEvent)]
    assert known == sorted(known) and known[0] > 0.5
    assert segments(517) == expected


@pytest.mark.corpus
def test_plain_readers_are_neutral(bundled_model: EmotionModel, shared_dir: Path) -> None:
    clips = sorted((shared_dir / "librispeech").rglob("*.opus"))
    seconds: dict[str, float] = defaultdict(float)
    for clip in clips[::40]:
        for event in listen(clip, model=bundled_model):
            if isinstance(event, SegmentEvent):
                seconds[event.label] += event.end - event.start
    assert seconds["neutral"] > 0.7 * sum(seconds.values())
    assert seconds["neutral"] + seconds["uncertain"] > 0.8 * sum(seconds.values())


@pytest.mark.parametrize("path", ["\ud800", "a\0b", "x" * 5000])
def test_an_impossible_file_name_is_refused(path: str) -> None:
    with pytest.raises(BaselineError, match="cannot be read"):
        Baseline.load(path)
