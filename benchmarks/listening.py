"""Measure what a listener tells of conversations, in quiet and in noise, and of noise alone.

Conversations are composed of a corpus's clips (`conversations/compose.py`), with pauses, and with
everyday noise at several levels; noise of the folds that training did not hear. Compared are

- raw windows: one label a hop for the whole stream, which holds until the next
  (`--no-vad --emit windows`), and
- segments, as the listener tells them by default,

by the fraction of the speech's time that has the right emotion, the emotion diarization error
rate, the label changes for each true one, and delays: from the end of speech to the final label,
both from the end that the segment tells and from the true one, and from its beginning to the first
label. Noise alone must not be labelled at all.

In these, five turns of six are emotional. Conversations as they are (`conversations/ordinary.py`)
are mostly ordinary speech: an actor who is as a rule neutral, and readers of LibriSpeech. Of those
are told the false alarms an hour (segments with an emotion where there is none) and the detection
rate (emotional turns that have their emotion for at least half of their time). Last come the turns
heard under offset, hum, wind and the like (`situations.py`).

    pip install -e ".[train,export]"
    python benchmarks/listening.py --data ../shared/crema-d --noise ../shared/esc-10 \
        --librispeech ../shared/librispeech --split validation

The last line is one JSON document. The test split is for the final figures: choose on validation.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from typing import Any

import emo_listen  # noqa: F401  First, since it turns telemetry off.

# isort: split
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.common.command import add_model, run_benchmark
from benchmarks.common.material import add_baseline, add_data, add_librispeech, add_noise, add_split
from benchmarks.common.noises import Noise, load_noises
from benchmarks.common.timing import machine, print_machine
from benchmarks.conversations.compose import compose
from benchmarks.conversations.ordinary import Alarms, alarms, compose_ordinary
from benchmarks.conversations.turns_heard import print_situations, score_situations
from benchmarks.plots.listening import plot_listening, plot_ordinary
from benchmarks.scoring.accuracy_tables import cell, print_table
from benchmarks.scoring.card import add_write_card, check_card, write_card
from benchmarks.scoring.diarization import Agreement, agreement
from emo_listen import EmotionModel, SegmentEvent, WindowEvent
from emo_listen.engine import Engine, ListenOptions
from emo_listen.events import Emit, Event, LabelEvent, ProvisionalEvent
from emo_listen.model_settings import UNCERTAIN
from train.corpus.esc_10 import TEST_FOLDS
from train.corpus.places import need_corpus
from train.corpus.recordings import load_clips
from train.evaluation.streams import Stream, Turn

BLOCK = 0.02
"""Seconds of sound that the engine gets at a time, which bounds how exactly delays are known."""

CONDITIONS: tuple[float | None, ...] = (None, 20.0, 10.0, 5.0)
"""dB of speech over noise; None is quiet."""

ORDINARY_CONDITIONS: tuple[float | None, ...] = (None, 10.0)
"""The same of conversations as they are."""


HEADING = "## Conversations"
"""Of its section of the card."""


def parse_args(argv: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_model(parser)
    add_data(parser)
    add_librispeech(parser)
    add_noise(parser)
    add_split(parser)
    add_baseline(parser)
    parser.add_argument(
        "--conversations", type=int, default=10, help="in each condition (default: 10)"
    )
    parser.add_argument("--turns", type=int, default=20, help="of each (default: 20)")
    parser.add_argument(
        "--situations", type=int, default=2, help="conversations in each situation (default: 2)"
    )
    parser.add_argument("--seed", type=int, default=0)
    add_write_card(parser)
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Compose, listen, print the tables, draw the picture, return the JSON document.

    Raises:
        CorpusError: no such corpus, split or noise.
        ModelError: the model cannot be loaded, or has no card to write into.
    """
    check_card(args)
    args.data = need_corpus(args.data)
    told = machine()
    model = EmotionModel.load(args.model)
    rate = model.sampling_rate
    clips = load_clips(args.data, args.split, rate, cache_dir=args.cache_dir)
    noises = load_noises(args.noise, rate)
    under = [noise.samples for noise in noises if noise.fold in TEST_FOLDS]
    rows = []
    for snr in CONDITIONS:
        made = [
            compose(clips, rate, args.turns, np.random.default_rng([args.seed, n]), under, snr)
            for n in range(args.conversations)
        ]
        rows.append(score_condition(model, made, snr, args.baseline))
    plain = load_clips(args.librispeech, args.split, rate, cache_dir=args.cache_dir)
    ordinary = [
        score_ordinary(
            model,
            [
                compose_ordinary(
                    clips, plain, rate, np.random.default_rng([args.seed, n]), under, snr
                )
                for n in range(args.conversations)
            ],
            snr,
            args.baseline,
        )
        for snr in ORDINARY_CONDITIONS
    ]
    silent = score_noise(model, noises)
    heard = score_situations(clips, args.situations, args.seed) if args.situations else []
    args.output.mkdir(parents=True, exist_ok=True)
    plot_listening(rows, args.output / "listening.png")
    plot_ordinary(ordinary, args.output / "ordinary.png")
    pictures = [args.output / name for name in ("listening.png", "ordinary.png")]
    for picture in pictures:
        print(f"Wrote {picture}")
    print_machine(told)
    print_table(
        "Conversations: speech time with the right emotion; delays at the 95th percentile",
        conversation_table(rows),
    )
    print_table("Conversations as they are: mostly ordinary speech", ordinary_table(ordinary))
    print(
        f"Noise alone: {silent['labelled']} of {silent['clips']} recordings (of which "
        f"{silent['shortened']} are shortened by damage) get a label: "
        f"{', '.join(silent['names']) or 'none'}"
    )
    if args.write_card:
        write_card(
            args.model,
            HEADING,
            f"Composed of clips of the {args.split} split, baseline {args.baseline}: first five "
            "turns of six emotional, then as conversations are, mostly ordinary speech. Delays are "
            "the 95th percentile.",
            [conversation_table(rows), ordinary_table(ordinary)],
            pictures,
        )
    print_situations(heard)
    return {
        "benchmark": "listening",
        "model": model.name,
        "split": args.split,
        "conversations": args.conversations,
        "turns": args.turns,
        "machine": told,
        "baseline": "off" if model.head is None else args.baseline,
        "results": rows,
        "ordinary": ordinary,
        "noise_alone": silent,
        "situations": heard,
    }


def score_condition(
    model: EmotionModel, made: Sequence[Stream], snr: float | None, baseline: str
) -> dict[str, Any]:
    """Listen to the conversations of one condition in both ways."""
    raw, told = Agreement(), Agreement()
    final: list[float] = []
    own_end: list[float] = []
    first: list[float] = []
    name = condition_name(snr)
    for conversation in tqdm(made, desc=name, unit="conversation"):
        samples, turns = conversation.samples, conversation.turns
        seconds = len(samples) / model.sampling_rate
        heard = [
            event for event, _ in listen_to(model, samples, baseline, vad=False, emit="windows")
        ]
        raw += agreement(turns, held_windows(heard, model.settings.hop), seconds)
        events = list(listen_to(model, samples, baseline))
        segments = [event for event, _ in events if isinstance(event, SegmentEvent)]
        told += agreement(turns, [as_turn(event) for event in segments], seconds)
        final += delays_of_final_labels(turns, events)
        own_end += [at - e.end for e, at in events if isinstance(e, SegmentEvent) and at < seconds]
        first += delays_of_first_labels(turns, events)
    return {
        "condition": name,
        "speech_s": round(told.speech, 1),
        "windows": figures_of(raw),
        "segments": figures_of(told),
        "final_label_s": {"median": percentile(own_end, 50), "p95": percentile(own_end, 95)},
        "final_label_from_true_end_s": {
            "median": percentile(final, 50),
            "p95": percentile(final, 95),
        },
        "first_label_s": {"median": percentile(first, 50), "p95": percentile(first, 95)},
        "turns_with_label": len(final),
    }


def score_ordinary(
    model: EmotionModel, made: Sequence[Stream], snr: float | None, baseline: str
) -> dict[str, Any]:
    """Listen to conversations as they are, in one condition.

    Returns:
        `condition`, `hours` of stream time, what `ordinary_conversations.Alarms.figures` and
        `figures_of` give.
    """
    name = condition_name(snr)
    found, told = Alarms(), Agreement()
    for conversation in tqdm(made, desc=f"ordinary, {name}", unit="conversation"):
        turns = conversation.turns
        seconds = len(conversation.samples) / model.sampling_rate
        events = [event for event, _ in listen_to(model, conversation.samples, baseline)]
        segments = [event for event in events if isinstance(event, SegmentEvent)]
        found += alarms(turns, segments, seconds)
        told += agreement(turns, [as_turn(event) for event in segments], seconds)
    return {
        "condition": name,
        "hours": round(found.hours, 3),
        "emotional_turns": found.turns,
        **found.figures(),
        **figures_of(told),
    }


def condition_name(snr: float | None) -> str:
    """Name a level of noise."""
    return "quiet" if snr is None else f"{snr:g} dB"


def listen_to(
    model: EmotionModel,
    samples: NDArray[np.float32],
    baseline: str = "auto",
    *,
    vad: bool = True,
    emit: Emit = "segments",
) -> list[tuple[Event, float]]:
    """Events of a stream, each with the time at which a live listener would have it.

    That is the stream time by which the engine had the sound, and the time it then computed.
    """
    engine = Engine(model, ListenOptions(vad=vad, emit=emit, baseline=baseline))
    events = []
    length = round(BLOCK * model.sampling_rate)
    for start in range(0, len(samples), length):
        begun = time.perf_counter()
        for event in engine.push(samples[start : start + length]):
            taken = time.perf_counter() - begun
            events.append((event, engine.received / model.sampling_rate + taken))
    end = len(samples) / model.sampling_rate
    return events + [(event, end) for event in engine.finish()]


def held_windows(events: Sequence[Event], hop: float) -> list[Turn]:
    """Each window's label from its end, when it is told, until the next one's."""
    return [
        Turn(event.end, event.end + hop, event.label)
        for event in events
        if isinstance(event, WindowEvent)
    ]


def as_turn(event: SegmentEvent) -> Turn:
    """Take a segment as a stretch with a label."""
    return Turn(event.start, event.end, event.label)


def delays_of_final_labels(
    turns: Sequence[Turn], events: Sequence[tuple[Event, float]]
) -> list[float]:
    """Seconds from the end of each turn to the segment that ends nearest to it."""
    found = [(e.end, at) for e, at in events if isinstance(e, SegmentEvent)]
    delays = []
    for turn in turns:
        near = [(abs(end - turn.end), at) for end, at in found if abs(end - turn.end) < 0.5]
        if near:
            delays.append(min(near)[1] - turn.end)
    return delays


def delays_of_first_labels(
    turns: Sequence[Turn], events: Sequence[tuple[Event, float]]
) -> list[float]:
    """Seconds from the beginning of each turn to the first label told within it, if any is."""
    found = [(e, at) for e, at in events if isinstance(e, ProvisionalEvent | SegmentEvent)]
    delays = []
    for turn in turns:
        within = [at for e, at in found if e.start < turn.end and turn.start < at <= turn.end]
        if within:
            delays.append(min(within) - turn.start)
    return delays


def score_noise(model: EmotionModel, noises: Sequence[Noise]) -> dict[str, Any]:
    """Count the recordings of noise alone that get a label other than `uncertain`, or any."""
    labelled, uncertain = [], 0
    for noise in tqdm(noises, desc="noise alone", unit="recording"):
        events = [event for event, _ in listen_to(model, noise.samples)]
        labels = {event.label for event in events if isinstance(event, LabelEvent)}
        if labels - {UNCERTAIN}:
            labelled.append(noise.name)
        elif labels:
            uncertain += 1
    return {
        "clips": len(noises),
        "shortened": sum(noise.shortened for noise in noises),
        "labelled": len(labelled),
        "only_uncertain": uncertain,
        "fraction": round(len(labelled) / len(noises), 4),
        "names": labelled,
    }


def figures_of(found: Agreement) -> dict[str, float]:
    """Figures of an agreement as they are printed."""
    return {
        "accuracy": round(found.accuracy, 4),
        "error_rate": round(found.error_rate, 4),
        "changes_per_true_change": round(found.changes_per_true_change, 3),
        "confused": round(found.confused / found.speech, 4),
        "missed": round(found.missed / found.speech, 4),
        "false_alarm": round(found.false_alarm / found.speech, 4),
    }


def percentile(seconds: Sequence[float], percent: float) -> float | None:
    """Percentile of delays in seconds; None where there are none."""
    return round(float(np.percentile(seconds, percent)), 3) if seconds else None


def ordinary_table(rows: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Heading and rows: a row for each condition."""
    keys = ("detection_rate", "any_emotion_rate", "right_alarms", "accuracy", "error_rate")
    heading = ["", "false alarms an hour", "emotion detected", "some emotion told"]
    lines = [[*heading, "alarms that are right", "right", "error rate"]]
    for row in rows:
        count = f"{row['false_alarms_per_hour']:.0f}"
        lines.append([row["condition"], count, *(cell(key, row[key]) for key in keys)])
    return lines


def conversation_table(rows: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Heading and rows: both ways of listening for each condition."""
    heading = ["", "told by", "right", "error rate", "changes per true"]
    lines = [[*heading, "end to label", "start to label"]]
    for row in rows:
        for way in ("windows", "segments"):
            found = row[way]
            delays = ["", ""]
            if way == "segments":
                delays = [
                    f"{row[key]['p95']:.2f} s" if row[key]["p95"] is not None else ""
                    for key in ("final_label_s", "first_label_s")
                ]
            lines.append(
                [
                    row["condition"] if way == "windows" else "",
                    way,
                    f"{found['accuracy']:.3f}",
                    f"{found['error_rate']:.3f}",
                    f"{found['changes_per_true_change']:.2f}",
                    *delays,
                ]
            )
    return lines


if __name__ == "__main__":
    sys.exit(run_benchmark(parse_args, run))
