"""Picture of latencies, as PNG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def plot_latency(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw median and 95th percentile over the window's length, a panel for each thread count.

    Args:
        rows: with `backend`, `threads`, `window_s`, `median_ms` and `p95_ms`.
        path: of the PNG.
    """
    thread_counts = sorted({row["threads"] for row in rows})
    figure, panels = plt.subplots(
        1,
        len(thread_counts),
        figsize=(1 + 4.5 * len(thread_counts), 4.2),
        layout="constrained",
        sharey=True,
        squeeze=False,
    )
    for axes, threads in zip(panels[0], thread_counts, strict=True):
        for name in dict.fromkeys(row["backend"] for row in rows):
            points = sorted(
                (row["window_s"], row["median_ms"], row["p95_ms"])
                for row in rows
                if row["backend"] == name and row["threads"] == threads
            )
            seconds, medians, p95s = zip(*points, strict=True)
            (line,) = axes.plot(seconds, medians, marker="o", label=name)
            axes.fill_between(seconds, medians, p95s, color=line.get_color(), alpha=0.2)
        axes.set_xlabel("window (s)")
        axes.set_xticks(sorted({row["window_s"] for row in rows}))
        axes.set_title(f"{threads} thread" + ("s" if threads > 1 else ""))
        axes.grid(alpha=0.3)
    panels[0, 0].set_ylim(bottom=0)
    panels[0, 0].set_ylabel("sound to label (ms): median, shaded to p95")
    panels[0, 0].legend()
    figure.savefig(path, dpi=130)
    plt.close(figure)
