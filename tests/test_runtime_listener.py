"""The engine: any source, in blocks of any size, gives the same events."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from emo_listen import EmotionModel, OverflowEvent, WindowEvent, listen
from emo_listen.audio import load_audio
from emo_listen.errors import AudioFileError, AudioInputError


class Blocks:
    """Samples cut into blocks of one length; a loss of sound is noted before block `lost_at`."""

    live = False

    def __init__(
        self,
        samples: np.ndarray,
        sampling_rate: int,
        block_length: int,
        lost_at: int | None = None,
    ) -> None:
        self.samples = samples
        self.sampling_rate = sampling_rate
        self.block_length = block_length
        self.lost_at = lost_at
        self.overflows = 0

    def __str__(self) -> str:
        return "blocks"

    def __iter__(self) -> Iterator[np.ndarray]:
        for index, start in enumerate(range(0, len(self.samples), self.block_length)):
            self.overflows += index == self.lost_at
            yield self.samples[start : start + self.block_length]


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_blocks_of_any_size_give_identical_events(
    bundled_model: EmotionModel, sample_file: Path, rate: int
) -> None:
    samples = load_audio(sample_file, rate)[: int(3.77 * rate)]
    whole = list(listen(Blocks(samples, rate, len(samples)), model=bundled_model))
    assert len(whole) == 7
    for block_length in (1, 7, 1000, rate):
        events = list(listen(Blocks(samples, rate, block_length), model=bundled_model))
        assert events == whole


def test_a_stereo_file_equals_its_mixed_samples(
    bundled_model: EmotionModel, sample_file: Path, tmp_path: Path
) -> None:
    samples = load_audio(sample_file, 48000)[: 48000 * 4]
    stereo = np.stack([samples * 0.25, samples * 0.75], axis=1)
    path = tmp_path / "stereo.wav"
    soundfile.write(path, stereo, 48000, subtype="FLOAT")
    mixed = stereo.mean(axis=1, dtype=np.float32)
    assert list(listen(path, model=bundled_model)) == list(
        listen(Blocks(mixed, 48000, 480), model=bundled_model)
    )


def test_events_are_the_predictions_of_their_windows(
    bundled_model: EmotionModel, sample_file: Path
) -> None:
    samples = load_audio(sample_file, 16000)
    events = list(listen(str(sample_file), model=bundled_model))
    assert isinstance(events[-1], WindowEvent)
    assert events[-1].end == len(samples) / 16000
    for event in events[:3] + events[-2:]:
        assert isinstance(event, WindowEvent)
        window = samples[round(event.start * 16000) : round(event.end * 16000)]
        prediction = bundled_model.predict(window, 16000)
        assert event.label == prediction.label
        assert event.confidence == round(prediction.confidence, 4)
        assert event.scores.keys() == prediction.scores.keys()


def test_an_uncertain_label_leaves_the_scores(sample_file: Path) -> None:
    certain = list(listen(sample_file, model=with_threshold(0.0)))
    third, fourth = sorted(e.confidence for e in certain if isinstance(e, WindowEvent))[2:4]
    threshold = (third + fourth) / 2
    for event, before in zip(
        listen(sample_file, model=with_threshold(threshold)), certain, strict=True
    ):
        assert isinstance(event, WindowEvent) and isinstance(before, WindowEvent)
        label = "uncertain" if before.confidence < threshold else before.label
        assert event == dataclasses.replace(before, label=label)
        assert before.label == max(before.scores, key=before.scores.__getitem__)


def with_threshold(uncertain_below: float) -> EmotionModel:
    model = EmotionModel.load()
    model.settings.uncertain_below = uncertain_below
    return model


def test_window_and_hop_can_be_chosen(bundled_model: EmotionModel, sample_file: Path) -> None:
    events = list(listen(sample_file, model=bundled_model, window=1, hop=0.75))
    spans = [(event.start, event.end) for event in events if isinstance(event, WindowEvent)]
    assert spans[:3] == [(0.5, 1.5), (1.25, 2.25), (2.0, 3.0)]


@pytest.mark.parametrize(
    ("window", "hop"), [(0.05, 0.05), (float("nan"), 0.5), (1, 0), (1, -1), (1, 1.5)]
)
def test_unusable_windows_are_refused(
    bundled_model: EmotionModel, sample_file: Path, window: float, hop: float
) -> None:
    with pytest.raises(AudioInputError, match="unusable"):
        listen(sample_file, model=bundled_model, window=window, hop=hop)


def test_a_sound_shorter_than_a_hop_gives_one_window(bundled_model: EmotionModel) -> None:
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, 2000).astype(np.float32)
    (event,) = listen(Blocks(noise, 16000, 100), model=bundled_model)
    assert isinstance(event, WindowEvent)
    assert (event.start, event.end) == (0, 0.125)


@pytest.mark.parametrize("n_samples", [0, 1599])
def test_too_short_a_sound_is_named(bundled_model: EmotionModel, n_samples: int) -> None:
    events = listen(Blocks(np.zeros(n_samples, np.float32), 16000, 100), model=bundled_model)
    with pytest.raises(AudioInputError, match=r"blocks gave 0\.\d+ s of sound"):
        list(events)


def test_lost_sound_is_reported_where_it_is_missing(bundled_model: EmotionModel) -> None:
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, 32000).astype(np.float32)
    events = list(listen(Blocks(noise, 16000, 1600, lost_at=12), model=bundled_model))
    assert events[1] == OverflowEvent(time=1.2, count=1)
    assert [event.type for event in events] == ["window", "overflow", "window", "window"]


def test_what_is_wrong_is_said_before_the_first_event(bundled_model: EmotionModel) -> None:
    with pytest.raises(AudioFileError, match="is not a file"):
        listen("absent.flac", model=bundled_model)


@pytest.mark.corpus
def test_real_speech_in_odd_blocks(bundled_model: EmotionModel, shared_dir: Path) -> None:
    clips = sorted((shared_dir / "crema-d" / "audio").glob("1002_*_HAP_*"))[:3]
    assert clips
    for clip in clips:
        samples = load_audio(clip, 16000)
        assert list(listen(clip, model=bundled_model)) == list(
            listen(Blocks(samples, 16000, 331), model=bundled_model)
        )
