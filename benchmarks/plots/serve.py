"""Plot of the load on a server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.plots.figure import plt, save

PERCENTILES = ("p50_ms", "p95_ms", "p99_ms")
"""Keys of the latencies of a load."""


def plot_serve(
    rows: list[dict[str, Any]], soak: dict[str, Any] | None, target_ms: float, path: Path
) -> None:
    """Plot latency against the number of streams, a panel for each sound, and the soak's memory.

    Args:
        rows: with `sound`, `streams`, `p50_ms`, `p95_ms` and `p99_ms`.
        soak: with `streams` and `curve`, of (minutes, MiB); None if there was none.
        target_ms: latency up to which a load is kept in real time, in ms.
        path: of the PNG.
    """
    sounds = list(dict.fromkeys(row["sound"] for row in rows))
    panels = len(sounds) + (soak is not None)
    figure, (axes,) = plt.subplots(
        1, panels, figsize=(1 + 3.8 * panels, 3.8), layout="constrained", squeeze=False
    )
    for panel, sound in zip(axes, sounds, strict=False):
        points = [row for row in rows if row["sound"] == sound and row["p50_ms"] is not None]
        for key in PERCENTILES:
            panel.plot(
                [row["streams"] for row in points],
                [row[key] for row in points],
                marker="o",
                label=key.removesuffix("_ms"),
            )
        panel.axhline(target_ms, color="black", linewidth=0.8, linestyle=":")
        panel.set_yscale("log")
        panel.set_xlim(0, 1.05 * max(row["streams"] for row in points or rows))
        panel.set_xlabel("streams")
        panel.set_ylabel("from a window's last sample to its label (ms)")
        panel.set_title(sound)
        panel.grid(alpha=0.3)
        panel.legend(loc="upper left")
    if soak is not None:
        axes[-1].plot(*zip(*soak["curve"], strict=True))
        axes[-1].set_ylim(0, 1.2 * max(memory for _, memory in soak["curve"]))
        axes[-1].set_xlabel("minutes")
        axes[-1].set_ylabel("resident memory of the server (MiB)")
        axes[-1].set_title(f"{soak['streams']} streams of speech")
        axes[-1].grid(alpha=0.3)
    save(figure, path)
