"""How many turns of speech the detector finds in each situation, and how many Silero alone would.

The detector does not show the network what it takes for background, and takes offset and mains
hum off the sound. Neither may cost a turn that the network finds in the sound as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from benchmarks.conversations.compose import compose
from benchmarks.conversations.situations import LEVEL, Situation, amplitude, situations
from emo_listen.engine import MIN_SEGMENT
from emo_listen.sound.background import CHUNK, VAD_RATE, Background
from emo_listen.sound.high_pass import HighPass
from emo_listen.vad import SpeechDetector, SpeechStart
from train.corpus.recordings import Clip
from train.evaluation.streams import Turn, speech_bounds

TURNS = 6
"""Turns of a conversation."""

OVERLAP = 0.2
"""Seconds of a turn that must lie in a region of speech for it to be heard."""


class NetworkAlone(SpeechDetector):
    """Silero's network, asked about all of the sound as it is."""

    def __init__(self) -> None:
        """Take off what else the detector does."""
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
    """Listen in each situation, or in the chosen ones, to some conversations of six turns.

    Args:
        clips: to compose them of, at 16 kHz.
        conversations: how many in each situation.
        seed: of all that is random.
        chosen: names of situations; all where None.
    """
    clips = [at_speech_level(clip) for clip in clips]
    made = situations()
    rows = []
    for number, name in enumerate(tqdm(chosen or list(made), desc="situations")):
        pairs: list[tuple[bool, bool]] = []
        for n in range(conversations):
            generator = np.random.default_rng([seed, number, n])
            samples, turns = in_situation(made[name], clips, generator)
            pairs += zip(
                turns_found(SpeechDetector(), samples, turns),
                turns_found(NetworkAlone(), samples, turns),
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
    """Scale a clip at 16 kHz so that the speech in it has the level of all situations."""
    begin, end = speech_bounds(clip.samples, VAD_RATE)
    level = np.sqrt(np.square(clip.samples[begin:end]).mean())
    return replace(clip, samples=clip.samples * np.float32(amplitude(LEVEL) / level))


def in_situation(
    situation: Situation, clips: Sequence[Clip], generator: np.random.Generator
) -> tuple[NDArray[np.float32], list[Turn]]:
    """Compose a conversation and bring it into a situation; return it and where its turns are."""
    conversation = compose(clips, VAD_RATE, TURNS, generator)
    samples = situation(conversation.samples, VAD_RATE, generator)
    before = (len(samples) - len(conversation.samples)) / VAD_RATE
    turns = [replace(t, start=t.start + before, end=t.end + before) for t in conversation.turns]
    return np.clip(samples, -1, 1).astype(np.float32), turns


def turns_found(
    detector: SpeechDetector, samples: NDArray[np.float32], turns: Sequence[Turn]
) -> list[bool]:
    """Whether each turn lies in a region of speech that is long enough for a label."""
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
    """Print a table of the turns heard in each situation."""
    if not rows:
        return
    table = Table(title=f"Turns heard, speech at {LEVEL} dBFS unless told otherwise")
    for heading in ("", "turns", "heard", "by Silero alone", "lost"):
        table.add_column(heading, justify="right" if heading else "left")
    for row in rows:
        counts = (row["turns"], row["heard"], row["network_alone"], row["lost"])
        table.add_row(row["situation"], *map(str, counts))
    Console().print(table)
