"""A listener's predictions of clips whose class is known: its windows and its segments.

Clips are run in streams of one speaker each (`streams.py`) by the engine that also runs on a
microphone, so that figures are of what a user sees: most windows end early in a turn, and smoothing
makes segments of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from emo_listen import EmotionModel, SegmentEvent, WindowEvent
from emo_listen.baselines.references import BaselineChoice
from emo_listen.engine import Engine, ListenOptions
from emo_listen.errors import CorpusError
from emo_listen.events import Event, LabelEvent
from train.corpus.recordings import Clip, check_labels
from train.evaluation.calibration import Answers
from train.evaluation.streams import Stream, Turn, streams_of_speakers

BLOCK = 0.1
"""Seconds of sound passed to the engine at a time; its events do not depend on it."""

LEAST_PROBABILITY = 5e-5
"""Replaces a probability of 0: events round probabilities to four decimals."""


@dataclass
class StreamPredictions:
    """A model's predictions of the windows and the segments of streams."""

    windows: Answers
    """One row per window, as if all classes were equally frequent."""

    segments: Answers
    """One row per segment, with the model's prior of classes."""


def predict_streams(
    model: EmotionModel, clips: Sequence[Clip], window: float | None = None
) -> StreamPredictions:
    """Listen to `clips`, joined to one stream per speaker.

    Args:
        model: its calibration applies to the events; the returned logits are without its
            temperature.
        clips: at the model's rate.
        window: length of a prediction's window in seconds; None for the model's.

    Returns:
        The windows and segments that overlap speech of a clip, each with the class of the clip that
        it overlaps most.

    Raises:
        CorpusError: the model does not know a class, or no speech was detected in any clip.
    """
    check_labels(list(clips), model.labels)
    streams = streams_of_speakers(clips, model.sampling_rate)

    def listen(stream: Stream) -> list[tuple[LabelEvent, Turn]]:
        return with_turns(events_of(model, stream.samples, window), stream.turns)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = list(tqdm(pool.map(listen, streams), "Listening", len(streams), unit="stream"))
    pairs = [pair for of_stream in results for pair in of_stream]
    windows = [pair for pair in pairs if isinstance(pair[0], WindowEvent)]
    segments = [pair for pair in pairs if isinstance(pair[0], SegmentEvent)]
    if not segments:
        raise CorpusError(
            f"No speech was found in any of the {len(clips)} clips: check that they are speech."
        )
    return StreamPredictions(_answers(windows, model, model.log_prior), _answers(segments, model))


def events_of(
    model: EmotionModel,
    samples: NDArray[np.float32],
    window: float | None = None,
    baseline: BaselineChoice = "auto",
) -> list[Event]:
    """All events of a stream, as from `emo_listen.listen(emit="all")`.

    Args:
        model: to listen with.
        samples: the stream's mono sound `(n_samples,)`, at the model's rate.
        window: length of a prediction's window in seconds; None for the model's.
        baseline: what the voice is classified relative to.
    """
    engine = Engine(model, ListenOptions(window, emit="all", baseline=baseline))
    events: list[Event] = []
    length = round(BLOCK * model.sampling_rate)
    for start in range(0, len(samples), length):
        events += engine.push(samples[start : start + length])
    return [*events, *engine.finish()]


def with_turns(events: Iterable[Event], turns: Sequence[Turn]) -> list[tuple[LabelEvent, Turn]]:
    """Pair each event that has a label with the turn that it overlaps most, if any."""
    pairs: list[tuple[LabelEvent, Turn]] = []
    for event in events:
        if not isinstance(event, LabelEvent):
            continue
        overlaps = [min(event.end, turn.end) - max(event.start, turn.start) for turn in turns]
        best = int(np.argmax(overlaps))
        if overlaps[best] > 0:
            pairs.append((event, turns[best]))
    return pairs


def _answers(
    pairs: Sequence[tuple[LabelEvent, Turn]],
    model: EmotionModel,
    log_prior: NDArray[np.float64] | float = 0.0,
) -> Answers:
    """Convert events, subtracting the `log_prior` that the listener added to their logits."""
    scores = np.array([[event.scores[label] for label in model.labels] for event, _ in pairs])
    logits = np.log(np.maximum(scores, LEAST_PROBABILITY)) - log_prior
    return Answers(
        logits=logits * model.settings.temperature,
        classes=np.array([model.labels.index(turn.label) for _, turn in pairs]),
        speakers=[turn.speaker for _, turn in pairs],
    )
