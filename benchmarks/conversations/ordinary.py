"""Conversations as they are: mostly ordinary speech, in which an emotion is an event.

An actor speaks among readers of plain speech, and is as a rule neutral: emotional turns are few,
and come among neutral turns of the same voice. What counts is how often a listener raises a false
alarm, and whether it hears the emotions that there are.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.conversations.compose import background
from benchmarks.scoring.figures import NEUTRAL
from emo_listen.events import SegmentEvent
from emo_listen.model_settings import UNCERTAIN
from train.corpus.recordings import Clip
from train.evaluation.listening import with_turns
from train.evaluation.streams import FRAME, Stream, Turn, join_turns

READERS = 3
"""Readers of a conversation: with the actor, as many as in a small meeting."""

READER_SECONDS = 40.0
"""Seconds of plain speech of all readers together; with an actor's dozen of neutral clips, four
fifths and more of the speech are then ordinary."""

UTTERANCE = (2.0, 5.0)
"""Seconds of a reader's turns, which are cut where the reading is softest."""

EMOTIONAL = 4
"""Emotional turns of a conversation, all of one actor."""


@dataclass
class Alarms:
    """What was told of ordinary and of emotional turns; adds up over conversations."""

    hours: float = 0.0
    """Of stream time."""

    segments: int = 0
    """Segments with an emotion."""

    false_alarms: int = 0
    """Of these, in ordinary speech or in none."""

    turns: int = 0
    """Emotional turns."""

    detected: int = 0
    """Of these, with their emotion for at least half of their time."""

    noticed: int = 0
    """Of these, with any emotion for at least half of their time."""

    def __add__(self, other: Alarms) -> Alarms:
        """Sum of both."""
        pairs = zip(astuple(self), astuple(other), strict=True)
        return Alarms(*(mine + theirs for mine, theirs in pairs))

    def figures(self) -> dict[str, float | None]:
        """Tell the rates."""
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
    """Make a conversation of an actor's neutral turns, a few emotional ones, and readers.

    Args:
        acted: clips of actors, some of them neutral.
        plain: clips of readers.
        sampling_rate: of the clips and the noise, in Hz.
        generator: of all that is random.
        noise: recordings `(n_samples,)` to fill the background with, one after the other.
        snr: dB of the turns' mean power over the noise's; None: no noise.
    """
    of_actor: dict[str, list[Clip]] = defaultdict(list)
    for clip in acted:
        of_actor[str(clip.speaker)].append(clip)
    actor = sorted(of_actor)[int(generator.integers(len(of_actor)))]
    neutral = [clip for clip in of_actor[actor] if clip.label == NEUTRAL]
    emotional = [clip for clip in of_actor[actor] if clip.label != NEUTRAL]
    order = generator.permutation(len(emotional))[:EMOTIONAL]
    turns = [*neutral, *(emotional[i] for i in order), *read(plain, sampling_rate, generator)]
    shuffled = [turns[i] for i in generator.permutation(len(turns))]
    made = join_turns(shuffled, sampling_rate, generator)
    if snr is None:
        return made
    under = background(made.samples, made.turns, sampling_rate, generator, noise, snr)
    return Stream((made.samples + under).astype(np.float32), made.turns)


def read(plain: Sequence[Clip], sampling_rate: int, generator: np.random.Generator) -> list[Clip]:
    """Take `READER_SECONDS` of plain speech of `READERS` readers, cut into utterances."""
    readers = sorted({str(clip.speaker) for clip in plain})
    chosen = generator.permutation(readers)[:READERS]
    utterances: list[Clip] = []
    for reader in chosen:
        clips = [clip for clip in plain if str(clip.speaker) == reader]
        missing = READER_SECONDS / READERS * sampling_rate
        for index in generator.permutation(len(clips)):
            if missing <= 0:
                break
            for part in utterances_of(clips[int(index)].samples, sampling_rate):
                if missing > 0:
                    utterances.append(Clip(clips[int(index)].name, NEUTRAL, part, str(reader)))
                    missing -= len(part)
    return utterances


def utterances_of(samples: NDArray[np.float32], sampling_rate: int) -> list[NDArray[np.float32]]:
    """Cut reading into parts of `UTTERANCE` seconds, each where the sound is softest."""
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
    """Compare what was told with what is true.

    Args:
        turns: what is true, in order.
        segments: what was told.
        seconds: length of the sound.
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
        told = [
            (event, min(event.end, turn.end) - max(event.start, turn.start)) for event in emotional
        ]
        found.turns += 1
        found.detected += sum(t for e, t in told if t > 0 and e.label == turn.label) >= half
        found.noticed += sum(t for _, t in told if t > 0) >= half
    return found
