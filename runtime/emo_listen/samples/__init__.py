"""The bundled sound."""

from __future__ import annotations

from pathlib import Path

SAMPLE = Path(__file__).parent / "demo.ogg"
"""A synthetic voice, made by `runtime/make_sample.py` of the clone."""
