"""Plot of the effect of baselines on an unseen corpus."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.plots.figure import plt, save


def plot_unseen(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Plot the UAR and both errors on neutral speech, for each kind of baseline.

    Args:
        rows: of `unseen.run`.
        path: of the PNG.
    """
    panels = {
        "uar": "unweighted average recall",
        "neutral_called_emotional": "neutral called emotional",
        "emotional_called_neutral": "emotional called neutral",
    }
    figure, axes = plt.subplots(
        1, 3, figsize=(12, 1.5 + 0.35 * len(rows)), sharey=True, layout="constrained"
    )
    places = np.arange(len(rows))
    for panel, (key, title) in zip(axes, panels.items(), strict=True):
        bars = panel.barh(places, [row.get(key) or 0 for row in rows], color="tab:blue")
        panel.bar_label(bars, fmt="%.2f", fontsize=8)
        panel.set(title=title, xlim=(0, 1))
    axes[0].set_yticks(places, [row["baseline"] for row in rows])
    axes[0].invert_yaxis()
    axes[0].set_ylabel("baseline")
    save(figure, path)
