"""Figures of a load: latency, use of the machine, and events that differ from those of `listen`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.serving.client import Load, Usage
from benchmarks.serving.sounds import Sound
from emo_listen import EmotionModel, listen
from emo_listen.sinks.jsonl import event_row

REAL_TIME_MS = 1000.0
"""A load is kept in real time if 95 % of its labels come sooner, in ms. One that is more than the
machine can do falls behind by more than that within seconds."""

WARM_UP_SECONDS = 60.0
"""Time after which memory is first measured in a soak, in seconds, but a quarter of it at most."""

Expected = Mapping[Sound, Sequence[str]]
"""Events of `listen` for each sound, as JSON."""


def listened(model: EmotionModel, sound: Sound) -> list[str]:
    """Return the events of `emo_listen.listen` for a sound, as JSON."""
    return [json.dumps(event_row(event)) for event in listen(sound, model=model, emit="all")]


def load_row(load: Load, expected: Expected) -> dict[str, Any]:
    """Return the figures of a load.

    Returns:
        `p50_ms`, `p95_ms` and `p99_ms`, the time from when a window's last sample is due to be sent
        until its event comes, None without windows; `windows_per_s` of all streams; `server_cores`
        and `client_cores`, CPU time over time; `resident_mib`, the server's largest resident
        memory; the numbers of `lost` and `added` events; `equal_streams`, with exactly the events
        of `listen`; `problems`, by name, and how many streams had each; `real_time`, whether the
        machine kept up.
    """
    delays = np.array(load.delays) * 1e3
    percentiles = np.percentile(delays, [50, 95, 99]).round(1).tolist() if len(delays) else None
    p50, p95, p99 = percentiles or [None] * 3
    first, last = load.usage[0], load.usage[-1]
    elapsed = max(last.at - first.at, 1e-9)
    differences = [_difference(expected[played.sound], played.events) for played in load.streams]
    lost = sum(row[0] for row in differences)
    added = sum(row[1] for row in differences)
    problems = Counter(played.problem for played in load.streams if played.problem is not None)
    in_time = p95 is None or p95 < REAL_TIME_MS
    return {
        "streams": len(load.streams),
        "windows": len(delays),
        "p50_ms": p50,
        "p95_ms": p95,
        "p99_ms": p99,
        "windows_per_s": round(len(delays) / (load.end - load.begin), 1),
        "server_cores": round((last.server_cpu - first.server_cpu) / elapsed, 2),
        "client_cores": round((last.client_cpu - first.client_cpu) / elapsed, 2),
        "resident_mib": round(max(use.resident_mib for use in load.usage), 1),
        "lost": lost,
        "added": added,
        "equal_streams": sum(
            list(expected[played.sound]) == played.events for played in load.streams
        ),
        "problems": dict(problems),
        "real_time": in_time and not problems and not lost,
    }


def memory_row(usage: Sequence[Usage]) -> dict[str, Any]:
    """Return how the server's memory grew during a soak, in MiB.

    Returns:
        Resident memory after the warm-up (`settled_mib`), the largest after it (`largest_mib`), and
        `growth_mib` from one to the other; and `curve`, of (minutes, MiB).
    """
    begin, end = usage[0].at, usage[-1].at
    warm = begin + min(WARM_UP_SECONDS, (end - begin) / 4)
    resident = [use.resident_mib for use in usage if use.at >= warm]
    step = -(-len(usage) // 200)
    return {
        "settled_mib": round(resident[0], 2),
        "largest_mib": round(max(resident), 2),
        "growth_mib": round(max(resident) - resident[0], 2),
        "curve": [
            (round((use.at - begin) / 60, 2), round(use.resident_mib, 1)) for use in usage[::step]
        ],
    }


def memory_a_stream(rows: Sequence[dict[str, Any]]) -> float | None:
    """Return by how many MiB memory grows with each stream; None of fewer than two loads.

    Args:
        rows: of `load_row`, each of a new server.
    """
    if len({row["streams"] for row in rows}) < 2:
        return None
    slope, _ = np.polyfit(
        [row["streams"] for row in rows], [row["resident_mib"] for row in rows], 1
    )
    return round(float(slope), 2)


def kept_in_real_time(rows: Sequence[dict[str, Any]]) -> int:
    """Return the largest load that was kept in real time, of rows of `load_row`."""
    return max((row["streams"] for row in rows if row["real_time"]), default=0)


def _difference(expected: Sequence[str], received: Sequence[str]) -> tuple[int, int]:
    """Count events that are missing, and those that should not be there."""
    wanted, found = Counter(expected), Counter(received)
    return (wanted - found).total(), (found - wanted).total()
