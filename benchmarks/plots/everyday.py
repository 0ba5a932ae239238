"""Plot of the labels of ordinary speech."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.plots.figure import plt, save
from emo_listen.colours import OTHER_RGB, RGB


def plot_everyday(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Plot each label's share of segment time in each condition.

    Args:
        rows: of `everyday.run`.
        path: of the PNG.
    """
    figure, axes = plt.subplots(figsize=(8, 1.4 + 0.45 * len(rows)), layout="constrained")
    places = np.arange(len(rows))
    first = [label for label in ("neutral", "uncertain") if label in rows[0]["by_label"]]
    labels = [*first, *(label for label in rows[0]["by_label"] if label not in first)]
    left = np.zeros(len(rows))
    for label in labels:
        shares = np.array([row["by_label"][label] for row in rows])
        colour = np.array(RGB.get(label, OTHER_RGB)) / 255
        axes.barh(places, shares, left=left, color=colour, label=label)
        left += shares
    axes.set_yticks(places, [row["condition"] for row in rows])
    axes.set(xlabel="share of segment time", xlim=(0, 1))
    axes.invert_yaxis()
    figure.legend(loc="outside upper center", ncols=7, fontsize=8)
    save(figure, path)
