"""One result of `emo-listen doctor`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One result."""

    topic: str
    """What was checked."""

    found: str
    """What was found."""

    ok: bool = True
    """Whether it allows listening to the microphone."""

    advice: str | None = None
    """What to do about it, if anything."""
