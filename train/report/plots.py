"""Plots of training and calibration, as PNG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np


def plot_confusion(counts: np.ndarray, label_names: list[str], title: str, path: Path) -> None:
    """Plot a confusion matrix: percentage of the true class and count in each cell.

    Args:
        counts: (n_classes, n_classes), rows are the true class.
        label_names: of the classes, in order.
        title: of the plot.
        path: of the PNG.
    """
    of_row = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = 3 + 0.8 * len(label_names)
    figure, axes = plt.subplots(figsize=(size, size * 0.9), layout="constrained")
    image = axes.imshow(of_row, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(*counts.shape):
        axes.text(
            column,
            row,
            f"{100 * of_row[row, column]:.0f} %\n({counts[row, column]})",
            ha="center",
            va="center",
            fontsize=9,
            color="white" if of_row[row, column] > 0.5 else "black",
        )
    axes.set_xticks(range(len(label_names)), label_names, rotation=30, ha="right")
    axes.set_yticks(range(len(label_names)), label_names)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(title)
    figure.colorbar(image, ax=axes, label="fraction of the true class", shrink=0.8)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def plot_learning_curves(log: list[dict[str, Any]], path: Path) -> None:
    """Plot losses and validation scores over epochs.

    Args:
        log: the Trainer's `state.log_history`.
        path: of the PNG.
    """
    figure, (losses, scores) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    for key, name, axes in (
        ("loss", "training", losses),
        ("eval_loss", "validation", losses),
        ("eval_accuracy", "accuracy", scores),
        ("eval_uar", "UAR", scores),
        ("eval_macro_f1", "macro F1", scores),
    ):
        points = [(entry["epoch"], entry[key]) for entry in log if key in entry]
        if points:
            marker = "" if key == "loss" else "o"
            style = "--" if key == "eval_uar" else "-"  # it would hide accuracy on balanced corpora
            axes.plot(*zip(*points, strict=True), style, marker=marker, markersize=4, label=name)
    losses.set_ylabel("loss (cross-entropy, nats)")
    losses.set_title("Loss")
    scores.set_ylabel("fraction")
    scores.set_title("Validation scores")
    for axes in (losses, scores):
        axes.set_xlabel("epoch")
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend()
    figure.savefig(path, dpi=130)
    plt.close(figure)


def plot_reliability(
    diagrams: dict[str, list[tuple[float, float, int]]],
    title: str,
    path: Path,
    counted: str = "clips",
) -> None:
    """Plot a reliability diagram: accuracy at each confidence, and the number of predictions.

    Args:
        diagrams: mean confidence, accuracy (fractions) and count of each bin, by name.
        title: of the plot.
        path: of the PNG.
        counted: what is counted, as the axis label.
    """
    figure, (upper, lower) = plt.subplots(
        2, 1, figsize=(5, 6), sharex=True, height_ratios=[3, 1], layout="constrained"
    )
    upper.plot([0, 1], [0, 1], "--", color="grey", label="perfectly calibrated")
    for name, bins in diagrams.items():
        confidences, right, counts = zip(*bins, strict=True)
        upper.plot(confidences, right, marker="o", label=name)
        lower.plot(confidences, counts, marker="o")
    upper.set(title=title, ylabel="accuracy", xlim=(0, 1), ylim=(0, 1))
    lower.set(xlabel="confidence", ylabel=counted, ylim=(0, None))
    for axes in (upper, lower):
        axes.grid(alpha=0.3)
    upper.legend()
    figure.savefig(path, dpi=130)
    plt.close(figure)


def plot_certainty(
    thresholds: np.ndarray,
    coverage: np.ndarray,
    accuracy: np.ndarray,
    *,
    rate: float,
    chosen: float | None,
    title: str,
    path: Path,
) -> None:
    """Plot coverage and accuracy of the predictions above each confidence.

    Args:
        thresholds: `(n,)` confidences, 0 to 1.
        coverage: `(n,)` fraction of predictions above each.
        accuracy: `(n,)` accuracy of those, 0 to 1.
        rate: required accuracy, 0 to 1.
        chosen: the chosen threshold; None if there is none.
        title: of the plot.
        path: of the PNG.
    """
    figure, axes = plt.subplots(figsize=(6, 4.5), layout="constrained")
    axes.plot(thresholds, accuracy, label="accuracy above it")
    axes.plot(thresholds, coverage, label="coverage")
    axes.axhline(rate, linestyle="--", color="grey", label=f"required accuracy: {rate:g}")
    if chosen:
        axes.axvline(chosen, linestyle=":", color="black", label=f"`uncertain` below {chosen:g}")
    axes.set(title=title, xlabel="confidence", ylabel="fraction", xlim=(0, 1), ylim=(0, 1.01))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower left")
    figure.savefig(path, dpi=130)
    plt.close(figure)


def plot_distillation(log: list[dict[str, Any]], path: Path) -> None:
    """Plot the error of each hidden state over the steps of both stages.

    Args:
        log: rows with `stage`, `step` and `errors`, one for each hidden state.
        path: of the PNG.
    """
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), sharey=True, constrained_layout=True)
    for axis, stage in zip(axes, ("front_end", "layers"), strict=True):
        of_stage = {row["step"]: row["errors"] for row in log if row["stage"] == stage}
        steps = sorted(of_stage)
        for index in range(len(of_stage[steps[0]]) if steps else 0):
            axis.plot(steps, [of_stage[s][index] for s in steps], label=f"hidden state {index}")
        axis.set(title=stage.replace("_", " "), xlabel="step", yscale="log")
        axis.grid(alpha=0.3, which="both")
        axis.legend()
    axes[0].set_ylabel("squared error / variance")
    figure.savefig(path, dpi=120)
    plt.close(figure)
