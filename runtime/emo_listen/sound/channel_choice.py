"""Which channels of a stream to listen to, and whether as one voice or one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from emo_listen.errors import AudioInputError

ChannelChoice = Literal["mix", "separate"] | Sequence[int]
"""`mix` for all channels mixed to one, `separate` for each channel alone, or the numbers of the
channels to listen to, each alone. The first channel is 1."""

MAX_CHANNEL = 64
"""Largest number of a channel."""

_EXPECTED = "give mix, separate, or numbers of channels from 1, such as 1,3"


def check_channels(choice: Any) -> Literal["mix", "separate"] | tuple[int, ...]:
    """Return a valid choice; numbers in ascending order.

    Raises:
        AudioInputError: It is not a `ChannelChoice`.
    """
    if choice == "mix":
        return "mix"
    if choice == "separate":
        return "separate"
    if isinstance(choice, str) or not isinstance(choice, Sequence) or not choice:
        raise AudioInputError(f"channels {choice!r} are not known: {_EXPECTED}")
    for number in choice:
        if isinstance(number, bool) or not isinstance(number, int):
            raise AudioInputError(f"{number!r} is not the number of a channel: {_EXPECTED}")
        if not 1 <= number <= MAX_CHANNEL:
            raise AudioInputError(f"there is no channel {number}: give numbers 1 to {MAX_CHANNEL}")
    if len(set(choice)) < len(choice):
        raise AudioInputError("a channel is given twice: give each once")
    return tuple(sorted(choice))


def parse_channels(text: str) -> Literal["mix", "separate"] | tuple[int, ...]:
    """Parse `mix`, `separate`, or numbers with commas.

    Raises:
        AudioInputError: It is none of them.
    """
    if text in ("mix", "separate"):
        return check_channels(text)
    numbers = [part.strip() for part in text.split(",")]
    if not all(number.isascii() and number.isdigit() and len(number) < 4 for number in numbers):
        raise AudioInputError(f"{text[:40]!r} are not channels: {_EXPECTED}")
    return check_channels([int(number) for number in numbers])


def chosen_channels(choice: ChannelChoice, n_channels: int) -> tuple[int, ...]:
    """Return the numbers of the chosen channels of a stream with `n_channels`.

    Raises:
        AudioInputError: The stream has fewer channels.
    """
    if isinstance(choice, str):
        return tuple(range(1, n_channels + 1))
    if max(choice) > n_channels:
        raise AudioInputError(
            f"there is no channel {max(choice)} in audio of {n_channels} channel"
            f"{'s' if n_channels > 1 else ''}: choose others, or all with separate"
        )
    return tuple(choice)
