"""Composes and scores mostly neutral conversations, in which emotions are rare events.

One speaker is an actor who is usually neutral, with a few emotional turns; the others are readers
of ordinary speech. The figures are how often a listener raises a false alarm, and how many of the
emotional turns it detects.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.conversations.compose import with_noise
from benchmarks.scoring.figures import NEUTRAL
from emo_listen.events import SegmentEvent
from emo_listen.model_settings import UNCERTAIN
from train.corpus.recordings import Clip
from train.evaluation.listening import with_turns
from train.evaluation.streams import FRAME, Stream, Turn, join_turns

READERS = 3
"""Readers in a conversation: with the actor, a small meeting."""

READER_SECONDS = 40.0
"""Seconds of speech of all readers together. With an actor's dozen neutral clips, at least four
fifths of the speech are ordinary."""

UTTERANCE = (2.0, 5.0)
"""Length of a reader's turns in seconds; they are cut at the quietest point."""

EMOTIONAL = 4
"""Emotional turns in a conversation, all by one actor."""


@dataclass
class Alarms:
    """Counts of alarms and of emotional turns; adds up over conversations."""

    hours: float = 0.0
    """Hours of stream time."""

    segments: int = 0
    """Segments with an emotion."""

    false_alarms: int = 0
    """Of these, in ordinary speech or where there is none."""

    turns: int = 0
    """Emotional turns."""

    detected: int = 0
    """Of these, with the correct emotion for at least half of their time."""

    noticed: int = 0
    """Of these, with any emotion for at least half of their time."""

    def __add__(self, other: Alarms) -> Alarms:
        """Return the sum."""
        pairs = zip(astuple(self), astuple(other), strict=True)
        return Alarms(*(mine + theirs for mine, theirs in pairs))

    def figures(self) -> dict[str, float | None]:
        """Return the rates; None if undefined."""
        return {
            "false_alarms_per_hour": round(self.false_alarms / self.hours, 1),
            "detection_rate": round(self.detected / self.turns, 4) if self.turns else None,
            "any_emotion_rate": round(self.noticed / self.turns, 4) if self.turns else None,
            "right_alarms": (
                round(1 - self.false_alarms / self.segments, 4) if self.segments else None
            ),
        }


def compose_ordinary(
    acted: Sequence[Clip],
    plain: Sequence[Clip],
    sampling_rate: int,
    generator: np.random.Generator,
    noise: Sequence[NDArray[np.float32]] = (),
    snr: float | None = None,
) -> Stream:
    """Compose a conversation of an actor's neutral turns, a few emotional ones, and readers.

    Args:
        acted: clips of actors, some of them neutral.
        plain: clips of readers.
        sampling_rate: of the clips and the noise, in Hz.
        generator: makes all random choices.
        noise: recordings `(n_samples,)` for the background.
        snr: mean power of the turns over that of the noise, in dB; None for no noise.
    """
    of_actor: dict[str, list[Clip]] = defaultdict(list)
    for clip in acted:
        of_actor[str(clip.speaker)].append(clip)
    actor = sorted(of_actor)[int(generator.integers(len(of_actor)))]
    neutral = [clip for clip in of_actor[actor] if clip.label == NEUTRAL]
    emotional = [clip for clip in of_actor[actor] if clip.label != NEUTRAL]
    order = generator.permutation(len(emotional))[:EMOTIONAL]
    read = choose_utterances(plain, sampling_rate, generator)
    turns = [*neutral, *(emotional[i] for i in order), *read]
    shuffled = [turns[i] for i in generator.permutation(len(turns))]
    stream = join_turns(shuffled, sampling_rate, generator)
    return with_noise(stream, sampling_rate, generator, noise, snr)


def choose_utterances(
    plain: Sequence[Clip], sampling_rate: int, generator: np.random.Generator
) -> list[Clip]:
    """Choose `READER_SECONDS` of speech of `READERS` readers, cut into utterances."""
    readers = sorted({str(clip.speaker) for clip in plain})
    chosen = generator.permutation(readers)[:READERS]
    utterances: list[Clip] = []
    for reader in chosen:
        clips = [clip for clip in plain if str(clip.speaker) == reader]
        missing = READER_SECONDS / READERS * sampling_rate
        for index in generator.permutation(len(clips)):
            if missing <= 0:
                break
            for part in split_utterances(clips[int(index)].samples, sampling_rate):
                if missing > 0:
                    utterances.append(Clip(clips[int(index)].name, NEUTRAL, part, str(reader)))
                    missing -= len(part)
    return utterances


def split_utterances(samples: NDArray[np.float32], sampling_rate: int) -> list[NDArray[np.float32]]:
    """Split speech into parts of `UTTERANCE` seconds, each at the quietest point."""
    shortest, longest = (round(seconds * sampling_rate) for seconds in UTTERANCE)
    frame = round(FRAME * sampling_rate)
    parts = []
    while len(samples) > longest:
        within = samples[shortest : longest - longest % frame]
        within = within[: len(within) - len(within) % frame].reshape(-1, frame)
        cut = shortest + int(np.square(within).sum(axis=1).argmin()) * frame + frame // 2
        parts.append(samples[:cut])
        samples = samples[cut:]
    return [*parts, samples] if len(samples) >= shortest else parts


def alarms(turns: Sequence[Turn], segments: Sequence[SegmentEvent], seconds: float) -> Alarms:
    """Count alarms and detected turns.

    Args:
        turns: the ground truth, in order.
        segments: what the listener emitted.
        seconds: length of the stream.
    """
    emotional = [event for event in segments if event.label not in (NEUTRAL, UNCERTAIN)]
    of_emotion = sum(turn.label != NEUTRAL for _, turn in with_turns(emotional, turns))
    found = Alarms(
        hours=seconds / 3600, segments=len(emotional), false_alarms=len(emotional) - of_emotion
    )
    for turn in turns:
        if turn.label == NEUTRAL:
            continue
        half = (turn.end - turn.start) / 2
        overlaps = [
            (event, min(event.end, turn.end) - max(event.start, turn.start)) for event in emotional
        ]
        found.turns += 1
        found.detected += sum(t for e, t in overlaps if t > 0 and e.label == turn.label) >= half
        found.noticed += sum(t for _, t in overlaps if t > 0) >= half
    return found
