"""What a listener hears of clips whose class is known: its windows and its segments.

Every clip goes through the engine that listens to a microphone, in streams of one speaker each
(`streams.py`), so that a figure is of what a user sees: most windows end early in a turn, and
segments are what smoothing makes of them.
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
"""Seconds of sound that the engine gets at a time; its events do not depend on it."""

LEAST_PROBABILITY = 5e-5
"""What a probability of 0 counts as: events round them to four decimals."""


@dataclass
class Heard:
    """What a model said of the windows and of the segments of streams."""

    windows: Answers
    """One row for each window, as if all classes were equally frequent."""

    segments: Answers
    """One row for each segment, with the prior of streams as they are."""


def hear(model: EmotionModel, clips: Sequence[Clip], window: float | None = None) -> Heard:
    """Listen to `clips`, joined to a stream for each speaker.

    Args:
        model: its calibration is that of the events; logits are told without its temperature.
        clips: at the model's rate.
        window: seconds that one prediction looks at; the model's own where None.

    Returns:
        The windows and segments in which speech of a clip was heard, each with the class of the
        clip that fills most of it.

    Raises:
        CorpusError: a class that the model does not know, or speech was found in no clip.
    """
    check_labels(list(clips), model.labels)
    streams = streams_of_speakers(clips, model.sampling_rate)

    def listen(stream: Stream) -> list[tuple[LabelEvent, Turn]]:
        return with_turns(events_of(model, stream.samples, window), stream.turns)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        heard = list(tqdm(pool.map(listen, streams), "listen", len(streams), unit="stream"))
    pairs = [pair for of_stream in heard for pair in of_stream]
    windows = [pair for pair in pairs if isinstance(pair[0], WindowEvent)]
    segments = [pair for pair in pairs if isinstance(pair[0], SegmentEvent)]
    if not segments:
        raise CorpusError(f"no speech was found in any of the {len(clips)} clips")
    return Heard(_answers(windows, model, model.log_prior), _answers(segments, model))


def events_of(
    model: EmotionModel,
    samples: NDArray[np.float32],
    window: float | None = None,
    baseline: BaselineChoice = "auto",
) -> list[Event]:
    """All events of a stream, as `emo_listen.listen(emit="all")` gives them.

    Args:
        model: to listen with.
        samples: the stream's mono sound `(n_samples,)`, at the model's rate.
        window: seconds that one prediction looks at; the model's own where None.
        baseline: what the voice is judged relative to.
    """
    engine = Engine(model, ListenOptions(window, emit="all", baseline=baseline))
    events: list[Event] = []
    length = round(BLOCK * model.sampling_rate)
    for start in range(0, len(samples), length):
        events += engine.push(samples[start : start + length])
    return [*events, *engine.finish()]


def with_turns(events: Iterable[Event], turns: Sequence[Turn]) -> list[tuple[LabelEvent, Turn]]:
    """Pair each event that has a label with the turn it overlaps most; leave out those of none."""
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
    """Answers of events, without the `log_prior` that the listener added to their logits."""
    scores = np.array([[event.scores[label] for label in model.labels] for event, _ in pairs])
    logits = np.log(np.maximum(scores, LEAST_PROBABILITY)) - log_prior
    return Answers(
        logits=logits * model.settings.temperature,
        classes=np.array([model.labels.index(turn.label) for _, turn in pairs]),
        speakers=[turn.speaker for _, turn in pairs],
    )
