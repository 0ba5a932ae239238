"""Which sampling rates are accepted."""

from __future__ import annotations

from numbers import Real
from typing import Any

from emo_listen.errors import AudioInputError

MIN_RATE = 1000
"""Lowest sampling rate that is accepted, in Hz. No speech is left below it."""

MAX_RATE = 1_000_000
"""Highest sampling rate that is accepted, in Hz; recorders of bats reach 500 kHz."""


def check_rate(rate: Any) -> int:
    """Return a sampling rate in Hz as an int.

    Raises:
        AudioInputError: it is not a whole number from 1,000 to 1,000,000.
    """
    number = isinstance(rate, Real) and not isinstance(rate, bool)
    if not number or not MIN_RATE <= rate <= MAX_RATE or rate != int(rate):
        raise AudioInputError(
            f"the sampling rate {rate!r} is not usable: give a whole number of Hz from {MIN_RATE} "
            f"to {MAX_RATE}"
        )
    return int(rate)
