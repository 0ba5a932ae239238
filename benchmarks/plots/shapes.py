"""Plot of accuracy against latency."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.plots.figure import plt, save

LEAST_SPAN = 0.06
"""Smallest range of the accuracy axis, so that chance differences look small."""


def plot_shapes(rows: list[dict[str, Any]], path: Path) -> None:
    """Plot each model's accuracy against its latency; the area shows its size.

    Args:
        rows: with `model`, `file_mb`, `accuracy` and `median_ms`.
        path: of the PNG.
    """
    figure, axes = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
    ordered = sorted(rows, key=lambda row: row["median_ms"])
    latency = [row["median_ms"] for row in ordered]
    accuracy = [row["accuracy"] for row in ordered]
    axes.plot(latency, accuracy, color="0.8", zorder=1)
    axes.scatter(latency, accuracy, s=[12 * row["file_mb"] for row in ordered], zorder=2)
    for row in ordered:
        axes.annotate(
            f"{row['model']}\n{row['file_mb']:.1f} MB",
            (row["median_ms"], row["accuracy"]),
            xytext=(0, 14),
            textcoords="offset points",
            ha="center",
            fontsize=8,
        )
    axes.set(xlabel="median latency (ms)", ylabel="accuracy (validation split)")
    axes.set_xlim(0, 1.25 * latency[-1])
    spare = max(LEAST_SPAN - (max(accuracy) - min(accuracy)), 0.02) / 2
    axes.set_ylim(min(accuracy) - spare, max(accuracy) + spare)
    axes.grid(alpha=0.3)
    save(figure, path)
