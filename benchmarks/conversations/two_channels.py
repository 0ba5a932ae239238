"""Composes two-channel conversations with crosstalk, and counts turns found, lost and doubled."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from train.corpus.recordings import Clip
from train.evaluation.streams import speech_bounds

PAUSE = (-0.4, 1.2)
"""Seconds from the end of a turn to the start of the next, in another channel: some overlap."""

DELAY = (0.0, 0.004)
"""Delay of the crosstalk, in seconds: up to 1.4 m of air."""

FOUND = 0.2
"""Seconds of a turn that must be in segments for it to be found, or doubled."""

NEAR = 0.3
"""Seconds around the turns of a channel's own speaker in which its segments are not doubled."""


@dataclass(frozen=True)
class ChannelTurn:
    """One speaker's utterance."""

    channel: int
    """Channel of the speaker, from 0."""

    start: float
    """Start of the speech, in seconds."""

    end: float
    """End of the speech, in seconds."""


def compose_two_channels(
    clips: Sequence[Clip],
    sampling_rate: int,
    n_turns: int,
    crosstalk: float | None,
    noise: float,
    generator: np.random.Generator,
) -> tuple[NDArray[np.float32], list[ChannelTurn]]:
    """Compose a conversation of two speakers, each in one channel.

    Args:
        clips: To choose from; each is used once.
        sampling_rate: Sampling rate of the clips, in Hz.
        n_turns: Number of turns, alternating between the speakers.
        crosstalk: Level of the copy in the other channel, in dB; None for no copy.
        noise: RMS of the independent noise of each channel, in dBFS.
        generator: Makes all random choices.

    Returns:
        Audio, float32 (n_samples, 2), and the turns in order of time.
    """
    of_speaker: dict[str | None, list[Clip]] = defaultdict(list)
    for clip in clips:
        of_speaker[clip.speaker].append(clip)
    names = sorted(of_speaker, key=str)
    pair = [names[i] for i in generator.choice(len(names), 2, replace=False)]
    orders = [generator.permutation(len(of_speaker[name])) for name in pair]
    placed: list[tuple[int, int, NDArray[np.float32]]] = []
    turns = []
    position = sampling_rate // 2
    for number in range(n_turns):
        channel = number % 2
        clip = of_speaker[pair[channel]][int(orders[channel][number // 2])]
        begin, end = speech_bounds(clip.samples, sampling_rate)
        samples = clip.samples[max(0, begin - sampling_rate // 10) : end + sampling_rate // 10]
        lead = begin - max(0, begin - sampling_rate // 10)
        placed.append((channel, position, samples))
        start = (position + lead) / sampling_rate
        turns.append(ChannelTurn(channel, start, start + (end - begin) / sampling_rate))
        position += len(samples) + round(generator.uniform(*PAUSE) * sampling_rate)
    length = max(start + len(samples) for _, start, samples in placed) + sampling_rate
    voices = np.zeros((length, 2))
    for channel, start, samples in placed:
        voices[start : start + len(samples), channel] += samples
    sound = voices + 10 ** (noise / 20) * generator.standard_normal(voices.shape)
    if crosstalk is not None:
        for channel in range(2):
            delay = generator.uniform(*DELAY)
            sound[:, channel] += 10 ** (crosstalk / 20) * _delayed(
                voices[:, 1 - channel], delay * sampling_rate
            )
    return sound.astype(np.float32), turns


def count_turns(
    turns: Sequence[ChannelTurn], segments: Sequence[Sequence[tuple[float, float]]]
) -> dict[str, int]:
    """Count the turns, and those that are lost or doubled.

    Args:
        turns: The true turns.
        segments: Start and end of each segment, in seconds, of each channel.
    """
    lost = doubled = 0
    for turn in turns:
        lost += _overlap(turn.start, turn.end, segments[turn.channel]) < FOUND
        own = [
            (other.start - NEAR, other.end + NEAR)
            for other in turns
            if other.channel != turn.channel
        ]
        alone = [
            piece for segment in segments[1 - turn.channel] for piece in _without(segment, own)
        ]
        doubled += _overlap(turn.start, turn.end, alone) >= FOUND
    return {"turns": len(turns), "lost": lost, "doubled": doubled}


def _overlap(start: float, end: float, segments: Sequence[tuple[float, float]]) -> float:
    return sum(max(0.0, min(end, last) - max(start, first)) for first, last in segments)


def _without(
    segment: tuple[float, float], removed: Sequence[tuple[float, float]]
) -> list[tuple[float, float]]:
    """Return what is left of a segment, in seconds, without the intervals `removed`."""
    pieces = [segment]
    for first, last in removed:
        pieces = [
            piece
            for start, end in pieces
            for piece in ((start, min(end, first)), (max(start, last), end))
            if piece[0] < piece[1]
        ]
    return pieces


def _delayed(samples: NDArray[np.float64], delay: float) -> NDArray[np.float64]:
    """Delay by a number of samples, which need not be whole."""
    frequencies = np.fft.rfftfreq(len(samples))
    spectrum = np.fft.rfft(samples) * np.exp(-2j * np.pi * frequencies * delay)
    return np.fft.irfft(spectrum, len(samples))
