"""Plots of accuracy on degraded speech."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.plots.figure import plt, save

WAYS = {
    "no_baseline": ("no baseline", "tab:gray"),
    "baseline": ("baseline of the speaker's neutral clips", "tab:blue"),
}
"""Label and colour of each kind of result."""

AXES = {
    "babble": "speech-to-babble ratio (dB)",
    "noise": "speech-to-noise ratio (dB)",
    "high-pass": "high-pass cut-off (Hz)",
    "low-pass": "low-pass cut-off (Hz)",
}
"""Axis label of each curve."""


def plot_robustness(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Plot the UAR with its interval for each degradation.

    Args:
        rows: of `robustness.run`.
        path: of the PNG.
    """
    figure, axes = plt.subplots(figsize=(7, 1.2 + 0.32 * len(rows)), layout="constrained")
    places = np.arange(len(rows))
    for offset, (way, (name, colour)) in zip((-0.15, 0.15), WAYS.items(), strict=True):
        if way not in rows[0]:
            continue
        axes.plot([row[way]["uar"] for row in rows], places + offset, "o", color=colour, label=name)
        for place, row in zip(places, rows, strict=True):
            if row[way]["uar_95"] is not None:
                axes.plot(row[way]["uar_95"], [place + offset] * 2, color=colour)
        axes.axvline(rows[0][way]["uar"], color=colour, linestyle=":", linewidth=1)
    axes.set_yticks(places, [row["degradation"] for row in rows])
    axes.set(xlabel="unweighted average recall, 95 % interval", xlim=(0, 1))
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    axes.legend(loc="lower left")
    save(figure, path)


def plot_curves(curves: dict[str, list[dict[str, Any]]], clean: dict[str, Any], path: Path) -> None:
    """Plot the accuracy against levels and cut-offs.

    Args:
        curves: of `robustness.run`.
        clean: its first row, drawn as a horizontal line.
        path: of the PNG.
    """
    figure, panels = plt.subplots(1, 4, figsize=(14, 3.6), sharey=True, layout="constrained")
    for axes, (name, rows) in zip(panels, curves.items(), strict=True):
        x = [row["x"] for row in rows]
        for way, (label, colour) in WAYS.items():
            if way not in rows[0]:
                continue
            axes.plot(x, [row[way]["accuracy"] for row in rows], "o-", color=colour, label=label)
            axes.axhline(clean[way]["accuracy"], color=colour, linestyle=":", linewidth=1)
        axes.set(xlabel=AXES[name], ylim=(0, 1))
        axes.grid(alpha=0.3)
        if "pass" in name:
            axes.set_xscale("log")
            axes.set_xticks(x, [str(value) for value in x])
            axes.minorticks_off()
        else:
            axes.invert_xaxis()
    panels[0].set_ylabel("accuracy (dotted: clean)")
    panels[0].legend(loc="lower left", fontsize=8)
    save(figure, path)
