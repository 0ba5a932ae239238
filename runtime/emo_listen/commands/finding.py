"""One line of what `emo-listen doctor` reports."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    topic: str
    """What it is about."""

    found: str
    """What was found."""

    ok: bool = True
    """Whether it is as it must be for listening to the microphone."""

    mend: str | None = None
    """What to do about it."""
