"""Plots of the accuracy benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.plots.figure import plt, save
from benchmarks.scoring.accuracy_tables import input_name
from benchmarks.scoring.figures import FEWEST_SPEAKERS, INTERVAL


def plot_windows(rows: list[dict[str, Any]], title: str, path: Path) -> None:
    """Plot accuracy and calibration error of windows and segments.

    Args:
        rows: of `accuracy.score_stream`, and one of whole clips.
        title: above the plot.
        path: of the PNG.
    """
    names = [input_name(row).replace(", ", "\n") for row in rows]
    places = np.arange(len(rows))
    accuracy = np.array([row["accuracy"] for row in rows])
    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    axes.bar(places, accuracy, width=0.6, color="#a6c8e6", label="accuracy")
    if all(INTERVAL in row for row in rows):
        ends = np.array([row[INTERVAL] for row in rows]).T
        axes.errorbar(
            places, accuracy, np.abs(ends - accuracy), fmt="none", color="black", capsize=4
        )
    if all(row.get("accuracy_certain") is not None for row in rows):
        certain = [row["accuracy_certain"] for row in rows]
        axes.plot(places, certain, "^", color="#1b6", label="accuracy without uncertain")
    error = [row["expected_calibration_error"] for row in rows]
    axes.plot(places, error, "o", color="#c33", label="expected calibration error")
    counts = [f"{name}\n({row['count']})" for name, row in zip(names, rows, strict=True)]
    axes.set_xticks(places, counts)
    axes.set(title=title, xlabel="input (count)", ylabel="fraction", ylim=(0, 1))
    axes.grid(axis="y", alpha=0.3)
    figure.legend(loc="outside lower center", ncols=3, fontsize=8)
    save(figure, path)


def plot_groups(
    rows: list[dict[str, Any]], overall: dict[str, Any], labels: list[str], title: str, path: Path
) -> None:
    """Plot each group's accuracy with its interval, and its recall of each class.

    Args:
        rows: of `groups.score_groups`.
        overall: `figures.figures` of all clips.
        labels: class names.
        title: above the plot.
        path: of the PNG.
    """
    names = [f"{row['group']} ({row['speakers']})" for row in rows]
    places = np.arange(len(rows))
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(11, 1.6 + 0.42 * len(rows)), sharey=True, layout="constrained"
    )
    left.axvline(overall["accuracy"], linestyle="--", color="grey", label="all")
    for place, row in zip(places, rows, strict=True):
        few = row["speakers"] < FEWEST_SPEAKERS
        if INTERVAL in row:
            left.plot(row[INTERVAL], [place, place], color="#36c", linewidth=2)
        left.plot(row["accuracy"], place, "o", color="#36c", fillstyle="none" if few else "full")
    for place in places[1:]:
        if rows[place]["attribute"] != rows[place - 1]["attribute"]:
            left.axhline(place - 0.5, color="black", linewidth=0.5)
            right.axhline(place - 0.5, color="black", linewidth=0.5)
    left.set_yticks(places, names)
    left.set(
        ylabel="group (speakers)",
        xlabel=f"accuracy, 95 % interval (hollow: fewer than {FEWEST_SPEAKERS} speakers)",
        xlim=(0, 1),
        ylim=(len(rows) - 0.5, -0.5),
    )
    left.grid(axis="x", alpha=0.3)
    left.legend()
    recalls = np.array([[row.get(f"recall_{label}", np.nan) for label in labels] for row in rows])
    right.imshow(recalls, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (row_index, column), recall in np.ndenumerate(recalls):
        colour = "white" if recall > 0.5 else "black"
        text = "-" if np.isnan(recall) else f"{recall:.2f}"
        right.text(column, row_index, text, ha="center", va="center", fontsize=8, color=colour)
    right.set_xticks(range(len(labels)), labels, rotation=30, ha="right")
    right.set_xlabel("recall of each class")
    figure.suptitle(title)
    save(figure, path)
