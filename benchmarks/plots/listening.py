"""Picture of how well a listener tells emotions in conversations, as PNG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np


def plot_listening(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw accuracy, error rate and label changes of windows and segments by condition.

    Args:
        rows: of `listening.score_condition`.
        path: of the PNG.
    """
    panels = (
        ("accuracy", "speech time with the right emotion"),
        ("error_rate", "emotion diarization error rate"),
        ("changes_per_true_change", "label changes for each true one"),
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
    figure.supxlabel("speech over noise", fontsize=9)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def plot_ordinary(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw false alarms and detection in conversations as they are, by condition.

    Args:
        rows: of `listening.score_ordinary`.
        path: of the PNG.
    """
    panels = (
        ("false_alarms_per_hour", "false alarms an hour", "%.0f"),
        ("detection_rate", "emotional turns with their emotion", "%.2f"),
        ("any_emotion_rate", "emotional turns with some emotion", "%.2f"),
    )
    figure, axes = plt.subplots(1, 3, figsize=(9, 3.2), layout="constrained")
    for panel, (key, title, form) in zip(axes, panels, strict=True):
        bars = panel.bar([row["condition"] for row in rows], [row[key] or 0 for row in rows], 0.5)
        panel.bar_label(bars, fmt=form, fontsize=8)
        panel.set_title(title, fontsize=10)
        panel.margins(y=0.15)
    figure.supxlabel("speech over noise", fontsize=9)
    figure.savefig(path, dpi=130)
    plt.close(figure)
