"""Counts the turns that speech detection finds in each situation, and that Silero alone finds.

The detector skips Silero's network on background sound, and filters offset and mains hum. Neither
may lose a turn that the network finds in the unfiltered sound.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.conversations.compose import compose
from benchmarks.conversations.situations import LEVEL, Situation, all_situations, amplitude
from emo_listen.engine import MIN_SEGMENT
from emo_listen.sound.background import CHUNK, VAD_RATE, Background
from emo_listen.sound.high_pass import HighPass
from emo_listen.vad import SpeechDetector, SpeechStart
from export.tables import print_table
from train.corpus.recordings import Clip
from train.evaluation.streams import Turn, speech_bounds

TURNS = 6
"""Turns in a conversation."""

OVERLAP = 0.2
"""Seconds of a turn that must be in a region of speech for it to be detected."""


class NetworkAlone(SpeechDetector):
    """Silero's network, run on all of the sound without filtering."""

    def __init__(self) -> None:
        """Replace the background model and the filter by ones without effect."""
        super().__init__()
        self._background = _Nothing()
        self._high_pass = _Unfiltered(VAD_RATE, CHUNK)


class _Nothing(Background):
    def covers(self, levels: NDArray[np.float64]) -> bool:
        return False


class _Unfiltered(HighPass):
    def filter(self, chunk: NDArray[np.float32]) -> NDArray[np.float32]:
        return chunk


def score_situations(
    clips: Sequence[Clip], conversations: int, seed: int, chosen: Sequence[str] | None = None
) -> list[dict[str, Any]]:
    """Count the turns detected in each situation.

    Args:
        clips: at 16 kHz, to compose conversations of `TURNS` turns from.
        conversations: number of conversations in each situation.
        seed: random seed.
        chosen: names of situations; all if None.

    Returns:
        Rows with `situation`, and counts: `turns`, `heard` (detected), `network_alone` (detected by
        the network alone), and `lost` (detected by the network alone, but not by the detector).
    """
    clips = [at_speech_level(clip) for clip in clips]
    situations = all_situations()
    rows = []
    for number, name in enumerate(tqdm(chosen or list(situations), desc="situations")):
        pairs: list[tuple[bool, bool]] = []
        for n in range(conversations):
            generator = np.random.default_rng([seed, number, n])
            samples, turns = in_situation(situations[name], clips, generator)
            pairs += zip(
                detected_turns(SpeechDetector(), samples, turns),
                detected_turns(NetworkAlone(), samples, turns),
                strict=True,
            )
        rows.append(
            {
                "situation": name,
                "turns": len(pairs),
                "heard": sum(ours for ours, _ in pairs),
                "network_alone": sum(alone for _, alone in pairs),
                "lost": sum(alone and not ours for ours, alone in pairs),
            }
        )
    return rows


def at_speech_level(clip: Clip) -> Clip:
    """Scale a clip at 16 kHz so that its speech has the level `LEVEL`."""
    begin, end = speech_bounds(clip.samples, VAD_RATE)
    level = np.sqrt(np.square(clip.samples[begin:end]).mean())
    return replace(clip, samples=clip.samples * np.float32(amplitude(LEVEL) / level))


def in_situation(
    situation: Situation, clips: Sequence[Clip], generator: np.random.Generator
) -> tuple[NDArray[np.float32], list[Turn]]:
    """Compose a conversation in a situation; return its samples and turns."""
    conversation = compose(clips, VAD_RATE, TURNS, generator)
    samples = situation(conversation.samples, VAD_RATE, generator)
    before = (len(samples) - len(conversation.samples)) / VAD_RATE
    turns = [replace(t, start=t.start + before, end=t.end + before) for t in conversation.turns]
    return np.clip(samples, -1, 1).astype(np.float32), turns


def detected_turns(
    detector: SpeechDetector, samples: NDArray[np.float32], turns: Sequence[Turn]
) -> list[bool]:
    """Whether each turn is in a region of speech that is long enough for a label."""
    regions = []
    start = 0
    for change in detector.push(samples):
        if isinstance(change, SpeechStart):
            start = change.at
        else:
            regions.append((start / VAD_RATE, change.at / VAD_RATE))
    end = detector.finish()
    if end is not None:
        regions.append((start / VAD_RATE, end.at / VAD_RATE))
    return [
        any(
            min(turn.end, last) - max(turn.start, first) >= OVERLAP
            for first, last in regions
            if last - first >= MIN_SEGMENT
        )
        for turn in turns
    ]


def print_situations(rows: Sequence[dict[str, Any]]) -> None:
    """Print a table of the turns detected in each situation, if there is any."""
    if not rows:
        return
    keys = ("turns", "heard", "network_alone", "lost")
    print_table(
        f"Detected turns (speech at {LEVEL} dBFS unless stated)",
        [
            ["situation", "turns", "detected", "by Silero alone", "lost"],
            *([row["situation"], *(str(row[key]) for key in keys)] for row in rows),
        ],
    )
