"""Sound that the package brings."""

from __future__ import annotations

from pathlib import Path

SAMPLE = Path(__file__).parent / "demo.ogg"
"""A synthetic voice; `runtime/make_sample.py` in the clone makes it."""
