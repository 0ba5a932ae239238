"""Saves figures as PNG; needs no display."""

from __future__ import annotations

from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

matplotlib.use("Agg")
import matplotlib.pyplot as plt

__all__ = ["plt", "save"]

DPI = 130
"""Dots per inch."""


def save(figure: Figure, path: Path) -> None:
    """Write `figure` to `path`, whose folder is made, close it, and print the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DPI)
    plt.close(figure)
    print(f"Wrote {path}")
