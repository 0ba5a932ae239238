"""Plots of latency."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.plots.figure import plt, save

WIDE_RANGE = 20
"""Ratio of times above which their axis is logarithmic."""


def plot_latency(rows: list[dict[str, Any]], path: Path) -> None:
    """Plot median and 95th percentile against window length, a panel for each thread count.

    Args:
        rows: with `backend`, `threads`, `window_s`, `median_ms` and `p95_ms`.
        path: of the PNG.
    """
    thread_counts = sorted({row["threads"] for row in rows})
    figure, panels = plt.subplots(
        1,
        len(thread_counts),
        figsize=(3.5 + 4 * len(thread_counts), 4.2),
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
    if max(row["median_ms"] for row in rows) > WIDE_RANGE * min(row["median_ms"] for row in rows):
        panels[0, 0].set_yscale("log")
    else:
        panels[0, 0].set_ylim(bottom=0)
    panels[0, 0].set_ylabel("latency (ms): median, shaded to p95")
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", fontsize="small")
    save(figure, path)


def plot_accuracy_against_latency(rows: list[dict[str, Any]], time: str, path: Path) -> None:
    """Plot the accuracy of each quantization against its time, with its size in MB.

    Args:
        rows: with `quantization`, `mb`, `accuracy`, and the time in ms.
        time: key of that time.
        path: of the PNG.
    """
    figure, axes = plt.subplots(figsize=(9, 5), layout="constrained")
    ranked = sorted(rows, key=lambda row: row[time])
    for index, row in enumerate(ranked):
        axes.scatter(
            row[time],
            row["accuracy"],
            s=70,
            marker="os^D"[index // 10 % 4],
            alpha=0.7,
            label=f"{row['quantization']} ({row['mb']:.0f} MB)",
        )
    axes.set_xlim(left=0, right=1.05 * ranked[-1][time])
    axes.set_xlabel(f"median time (ms): {time.removesuffix('_ms').replace('_', ' ')}")
    axes.set_ylabel("accuracy (validation split)")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper", fontsize="small", title="fastest first")
    save(figure, path)


def plot_stream_cost(rows: list[dict[str, Any]], path: Path) -> None:
    """Plot the CPU time of a second of audio against the hop, in percent of a core.

    Args:
        rows: with `sound`, `hop_s` and `percent_of_core`.
        path: of the PNG.
    """
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for sound in dict.fromkeys(row["sound"] for row in rows):
        points = sorted((r["hop_s"], r["percent_of_core"]) for r in rows if r["sound"] == sound)
        axes.plot(*zip(*points, strict=True), marker="o", label=sound)
    axes.set_xlabel("hop (s)")
    axes.set_xticks(sorted({row["hop_s"] for row in rows}))
    axes.set_ylabel("CPU (% of one core)")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend()
    save(figure, path)
