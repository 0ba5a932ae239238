"""Plot of fine-tuning on own recordings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.plots.figure import plt, save


def plot_own_recordings(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Plot the UAR with its interval, and the time of a fold.

    Args:
        rows: of `own_recordings.run`.
        path: of the PNG.
    """
    figure, panels = plt.subplots(1, 2, figsize=(11, 3), layout="constrained")
    scored = [row for row in rows if "uar" in row]
    uar = np.array([row["uar"] for row in scored])
    intervals = np.array([row.get("uar_95") or [row["uar"]] * 2 for row in scored])
    bars = panels[0].barh(
        [row["model"] for row in scored],
        uar,
        xerr=np.abs(intervals.T - uar),
        color="tab:blue",
        capsize=4,
    )
    panels[0].bar_label(bars, [f"{value:.2f}" for value in uar], label_type="center", color="w")
    panels[0].set(title="unweighted average recall", xlim=(0, 1))
    timed = [row for row in rows if "fold_s" in row]
    bars = panels[1].barh(
        [row["model"] for row in timed], [row["fold_s"] for row in timed], color="tab:orange"
    )
    panels[1].bar_label(bars, fmt="%.0f", label_type="center", color="w")
    panels[1].set(title="seconds per fold")
    for axes in panels:
        axes.invert_yaxis()
    save(figure, path)
