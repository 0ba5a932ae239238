"""Picture of what baselines bring on a corpus that a model never heard, as PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np


def plot_unseen(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw the UAR and both mistakes about neutral speech, for each kind of baseline.

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
    figure.savefig(path, dpi=130)
    plt.close(figure)
