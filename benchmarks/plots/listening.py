"""Plots of emotion recognition in conversations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.plots.figure import plt, save


def plot_listening(rows: list[dict[str, Any]], path: Path) -> None:
    """Plot accuracy, error rate and label changes of windows and segments by condition.

    Args:
        rows: of `stream_scores.score_conversations`.
        path: of the PNG.
    """
    panels = (
        ("accuracy", "accuracy (share of speech time)"),
        ("error_rate", "emotion diarization error rate"),
        ("changes_per_true_change", "label changes per true change"),
    )
    figure, axes = plt.subplots(1, 3, figsize=(12, 3.8), layout="constrained")
    places = np.arange(len(rows))
    for panel, (key, title) in zip(axes, panels, strict=True):
        for offset, way, colour in ((-0.2, "windows", "tab:gray"), (0.2, "segments", "tab:blue")):
            bars = panel.bar(
                places + offset, [row[way][key] for row in rows], 0.38, label=way, color=colour
            )
            panel.bar_label(bars, fmt="%.2f", fontsize=8)
        panel.set_xticks(places, [row["condition"] for row in rows])
        panel.set_title(title, fontsize=10)
        panel.margins(y=0.15)
    axes[2].axhline(1.1, color="black", linewidth=0.8, linestyle=":")
    axes[0].legend(loc="lower left")
    figure.supxlabel("signal-to-noise ratio", fontsize=9)
    save(figure, path)


def plot_ordinary(rows: list[dict[str, Any]], path: Path) -> None:
    """Plot false alarms and detection rates in mostly neutral conversations, by condition.

    Args:
        rows: of `stream_scores.score_ordinary`.
        path: of the PNG.
    """
    panels = (
        ("false_alarms_per_hour", "false alarms per hour", "%.0f"),
        ("detection_rate", "emotional turns with the correct emotion", "%.2f"),
        ("any_emotion_rate", "emotional turns with any emotion", "%.2f"),
    )
    figure, axes = plt.subplots(1, 3, figsize=(9, 3.2), layout="constrained")
    for panel, (key, title, form) in zip(axes, panels, strict=True):
        bars = panel.bar([row["condition"] for row in rows], [row[key] or 0 for row in rows], 0.5)
        panel.bar_label(bars, fmt=form, fontsize=8)
        panel.set_title(title, fontsize=10)
        panel.margins(y=0.15)
    figure.supxlabel("signal-to-noise ratio", fontsize=9)
    save(figure, path)
