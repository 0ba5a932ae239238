"""Scores what a listener emits for conversations, and for noise alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.common.noises import Noise
from benchmarks.conversations.live_events import (
    delays_of_final_labels,
    delays_of_first_labels,
    segments_as_turns,
    timed_events,
    windows_as_turns,
)
from benchmarks.conversations.ordinary import Alarms, alarms
from benchmarks.scoring.diarization import Agreement, agreement
from emo_listen import EmotionModel, SegmentEvent
from emo_listen.baselines.references import BaselineChoice
from emo_listen.events import LabelEvent
from emo_listen.model_settings import UNCERTAIN
from train.evaluation.streams import Stream


def score_conversations(
    model: EmotionModel, streams: Sequence[Stream], condition: str, baseline: BaselineChoice
) -> dict[str, Any]:
    """Score the raw windows and the segments of conversations.

    Returns:
        `condition`, `speech_s` (seconds), the figures of `windows` and `segments`
        (`figures_of`), delays in seconds (`median` and `p95`, None if there are none):
        `final_label_s` from the segment's own end, `final_label_from_true_end_s`, and
        `first_label_s` from the true start; and `turns_with_label` (count).
    """
    raw, final = Agreement(), Agreement()
    from_true_end: list[float] = []
    from_own_end: list[float] = []
    from_start: list[float] = []
    for stream in tqdm(streams, desc=condition, unit="conversation"):
        samples, turns = stream.samples, stream.turns
        seconds = len(samples) / model.sampling_rate
        windows = [
            event for event, _ in timed_events(model, samples, baseline, vad=False, emit="windows")
        ]
        raw += agreement(turns, windows_as_turns(windows, model.settings.hop), seconds)
        events = timed_events(model, samples, baseline)
        segments = [event for event, _ in events if isinstance(event, SegmentEvent)]
        final += agreement(turns, segments_as_turns(segments), seconds)
        from_true_end += delays_of_final_labels(turns, events)
        from_own_end += [
            at - event.end
            for event, at in events
            if isinstance(event, SegmentEvent) and at < seconds
        ]
        from_start += delays_of_first_labels(turns, events)
    return {
        "condition": condition,
        "speech_s": round(final.speech, 1),
        "windows": figures_of(raw),
        "segments": figures_of(final),
        "final_label_s": _percentiles(from_own_end),
        "final_label_from_true_end_s": _percentiles(from_true_end),
        "first_label_s": _percentiles(from_start),
        "turns_with_label": len(from_true_end),
    }


def score_ordinary(
    model: EmotionModel, streams: Sequence[Stream], condition: str, baseline: BaselineChoice
) -> dict[str, Any]:
    """Score the segments of mostly neutral conversations.

    Returns:
        `condition`, `hours` of stream time, and the results of `Alarms.figures` and `figures_of`.
    """
    found, final = Alarms(), Agreement()
    for stream in tqdm(streams, desc=f"ordinary, {condition}", unit="conversation"):
        seconds = len(stream.samples) / model.sampling_rate
        events = [event for event, _ in timed_events(model, stream.samples, baseline)]
        segments = [event for event in events if isinstance(event, SegmentEvent)]
        found += alarms(stream.turns, segments, seconds)
        final += agreement(stream.turns, segments_as_turns(segments), seconds)
    return {
        "condition": condition,
        "hours": round(found.hours, 3),
        "emotional_turns": found.turns,
        **found.figures(),
        **figures_of(final),
    }


def score_noise(model: EmotionModel, noises: Sequence[Noise]) -> dict[str, Any]:
    """Count the recordings of noise that get a label, or only `uncertain`."""
    labelled, uncertain = [], 0
    for noise in tqdm(noises, desc="noise alone", unit="recording"):
        events = [event for event, _ in timed_events(model, noise.samples)]
        labels = {event.label for event in events if isinstance(event, LabelEvent)}
        if labels - {UNCERTAIN}:
            labelled.append(noise.name)
        elif labels:
            uncertain += 1
    return {
        "clips": len(noises),
        "shortened": sum(noise.truncated for noise in noises),
        "labelled": len(labelled),
        "only_uncertain": uncertain,
        "fraction": round(len(labelled) / len(noises), 4),
        "names": labelled,
    }


def figures_of(found: Agreement) -> dict[str, float]:
    """Return rounded figures of an agreement."""
    return {
        "accuracy": round(found.accuracy, 4),
        "error_rate": round(found.error_rate, 4),
        "changes_per_true_change": round(found.changes_per_true_change, 3),
        "confused": round(found.confused / found.speech, 4),
        "missed": round(found.missed / found.speech, 4),
        "false_alarm": round(found.false_alarm / found.speech, 4),
    }


def _percentiles(seconds: Sequence[float]) -> dict[str, float | None]:
    if not seconds:
        return {"median": None, "p95": None}
    median, p95 = np.percentile(seconds, [50, 95])
    return {"median": round(float(median), 3), "p95": round(float(p95), 3)}
