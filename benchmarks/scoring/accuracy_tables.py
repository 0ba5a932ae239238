"""Tables of the accuracy benchmark, for the terminal and the model card."""

from __future__ import annotations

from typing import Any

from benchmarks.scoring.figures import FEWEST_SPEAKERS, INTERVAL
from export.tables import markdown_table
from train.evaluation.calibration import BINS
from train.report.model_card import NAMES

HEADING = "## Benchmark"
"""Heading of the section in the model card."""

FIGURE_NAMES = {
    **NAMES,
    INTERVAL: "95 % interval",
    "expected_calibration_error": "ECE",
    "certain": "share not `uncertain`",
    "accuracy_certain": "accuracy without `uncertain`",
    "agreement_with_pytorch": "agreement with PyTorch",
    "median_ms": "median time per clip (ms)",
    "p95_ms": "p95 time per clip (ms)",
    "uar": "UAR",
}
"""Names of figures in tables; others are shown by their key."""

BRIEF = ("speakers", "clips", "accuracy", INTERVAL, "uar", "expected_calibration_error")
"""Figures of a group that fit a terminal."""

HIDDEN = ("confusion", "heard", "window_s", "attribute")
"""Keys of a row that are not figures."""


def name_of(key: str) -> str:
    """Return the name of a figure in tables."""
    return FIGURE_NAMES.get(key, key.replace("_", " of ", 1) if "recall_" in key else key)


def cell(key: str, value: Any) -> str:
    """Format a figure."""
    if value is None:
        return "-"
    if isinstance(value, list):
        return f"{value[0]:.2f} to {value[1]:.2f}"
    if isinstance(value, float):
        return f"{value:.1f}" if key.endswith("_ms") else f"{value:.3f}"
    return str(value)


def by_backend(results: dict[str, dict[str, Any]]) -> list[list[str]]:
    """Heading and rows: a row for each figure, a column for each backend."""
    return _transposed(list(results), list(results.values()))


def by_input(rows: list[dict[str, Any]]) -> list[list[str]]:
    """Heading and rows: a row for each figure, a column for each kind and length of input."""
    return _transposed([input_name(row) for row in rows], rows)


def input_name(row: dict[str, Any]) -> str:
    """Name the input of a row of `accuracy.score_stream`, or of whole clips."""
    kind: str = row["heard"]
    return kind if row["window_s"] is None else f"{kind}, {row['window_s']:g} s"


def by_group(groups: dict[str, list[dict[str, Any]]]) -> list[list[str]]:
    """Heading and rows: a row for each group and backend, a column for each figure."""
    rows = next(iter(groups.values()))
    keys = ["speakers", "clips", "accuracy", INTERVAL]
    keys += [k for row in rows for k in row if k not in (*HIDDEN, "group")]
    keys = list(dict.fromkeys(keys))
    lines = [["group", "backend", *map(name_of, keys)]]
    for index, row in enumerate(rows):
        for backend, of_backend in groups.items():
            cells = [cell(key, of_backend[index].get(key)) for key in keys]
            if row["speakers"] < FEWEST_SPEAKERS:
                cells[keys.index(INTERVAL)] = f"too few (< {FEWEST_SPEAKERS})"
            lines.append([f"{row['attribute']}: {row['group']}", backend, *cells])
    return lines


def by_group_briefly(rows: list[dict[str, Any]]) -> list[list[str]]:
    """Heading and rows as `by_group` of one backend, with the figures that fit a terminal."""
    table = by_group({"": rows})
    columns = [0, *(table[0].index(name_of(key)) for key in BRIEF)]
    return [[row[index] for index in columns] for row in table]


def _transposed(headings: list[str], columns: list[dict[str, Any]]) -> list[list[str]]:
    keys = [key for key in columns[0] if key not in HIDDEN]
    rows = [[name_of(k), *(cell(k, column.get(k)) for column in columns)] for k in keys]
    return [["", *headings], *rows]


def card_summary(document: dict[str, Any]) -> str:
    """Describe what was scored, for the model card.

    Args:
        document: as `accuracy.run` returns it.
    """
    threshold = document["uncertain_below"]
    summary = (
        f"{document['clips']} whole clips of the {document['split']} split of {document['data']}. "
        f"Probabilities are calibrated (temperature {document['temperature']:g}); their expected "
        f"calibration error (ECE) uses {BINS} bins."
    )
    if threshold:
        summary += f" Labels with a confidence below {threshold:g} are `uncertain`."
    if any(INTERVAL in result for result in document["backends"].values()):
        summary += " Intervals are 95 % bootstrap intervals over speakers."
    return summary


def card_results(document: dict[str, Any]) -> list[str]:
    """Markdown lines of all tables of a `document`, as `accuracy.run` returns it."""
    results = {
        name: {key: value for key, value in result.items() if not key.endswith("_ms")}
        for name, result in document["backends"].items()
    }
    lines = [*markdown_table(by_backend(results)), ""]
    if document["windows"]:
        lines += [
            "### Windows and segments of a stream",
            "",
            f"{document['device_backend']}: windows up to the given length, one every "
            f"{document['hop_s']:g} s of speech, and the segments formed from them.",
            "",
            *markdown_table(by_input(document["windows"])),
            "",
        ]
    if document["groups"]:
        lines += ["### By group of speakers", ""]
        lines += [f"Intervals need at least {FEWEST_SPEAKERS} speakers.", ""]
        lines += [*markdown_table(by_group(document["groups"])), ""]
    return lines
