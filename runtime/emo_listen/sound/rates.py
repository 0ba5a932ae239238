"""Range of sampling rates."""

from __future__ import annotations

from numbers import Real
from typing import Any

from emo_listen.errors import AudioInputError

MIN_RATE = 1000
"""Lowest sampling rate, in Hz. Below it, no speech is left."""

MAX_RATE = 1_000_000
"""Highest sampling rate, in Hz; bat recorders reach 500 kHz."""


def check_rate(rate: Any) -> int:
    """Return a sampling rate in Hz as an int.

    Raises:
        AudioInputError: It is not a whole number from 1,000 to 1,000,000.
    """
    number = isinstance(rate, Real) and not isinstance(rate, bool)
    if not number or not MIN_RATE <= rate <= MAX_RATE or rate != int(rate):
        raise AudioInputError(
            f"the sampling rate {rate!r} is not valid: give a whole number from {MIN_RATE} to "
            f"{MAX_RATE} Hz"
        )
    return int(rate)
