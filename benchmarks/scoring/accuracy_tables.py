"""What the accuracy benchmark tells people: tables on the terminal, a section of the model card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benchmarks.scoring.figures import FEWEST_SPEAKERS, INTERVAL
from train.evaluation.calibration import BINS
from train.report.model_card import NAMES, with_last_section

HEADING = "## Benchmark"

FIGURE_NAMES = {
    **NAMES,
    INTERVAL: "95 % interval",
    "expected_calibration_error": "ECE",
    "certain": "not `uncertain`",
    "accuracy_certain": "accuracy of those",
    "agreement_with_pytorch": "same label as PyTorch",
    "median_ms": "time for a clip, median (ms)",
    "p95_ms": "time for a clip, 95 % (ms)",
    "uar": "UAR",
}
"""Names of figures for people; others are shown by their key."""

BRIEF = ("speakers", "clips", "accuracy", INTERVAL, "uar", "expected_calibration_error")
"""Figures of a group that fit a terminal."""

HIDDEN = ("confusion", "heard", "window_s", "attribute")
"""Keys of a row that are no figures."""


def name_of(key: str) -> str:
    """Name a figure for people."""
    return FIGURE_NAMES.get(key, key.replace("_", " of ", 1) if "recall_" in key else key)


def cell(key: str, value: Any) -> str:
    """Write a figure with as many decimals as it deserves."""
    if value is None:
        return "-"
    if isinstance(value, list):
        return f"{value[0]:.2f} to {value[1]:.2f}"
    if isinstance(value, float):
        return f"{value:.{1 if key.endswith('_ms') else 3}f}"
    return str(value)


def by_backend(results: dict[str, dict[str, Any]]) -> list[list[str]]:
    """Heading and rows: a row for each figure, a column for each backend."""
    return _upright(list(results), list(results.values()))


def by_window(rows: list[dict[str, Any]]) -> list[list[str]]:
    """Heading and rows: a row for each figure, a column for each kind and length of sound."""
    return _upright([heard_name(row) for row in rows], rows)


def heard_name(row: dict[str, Any]) -> str:
    """Name a row of `accuracy.score_heard`, or that of whole clips."""
    return row["heard"] + ("" if row["window_s"] is None else f", {row['window_s']:g} s")


def by_group(groups: dict[str, list[dict[str, Any]]]) -> list[list[str]]:
    """Heading and rows: a row for each group and backend, a column for each figure."""
    rows = next(iter(groups.values()))
    keys = ["speakers", "clips", "accuracy", INTERVAL]
    keys += [k for row in rows for k in row if k not in (*HIDDEN, "group")]
    keys = list(dict.fromkeys(keys))
    lines = [["group", "run by", *map(name_of, keys)]]
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
    kept = [0, *(table[0].index(name_of(key)) for key in BRIEF)]
    return [[row[index] for index in kept] for row in table]


def _upright(headings: list[str], columns: list[dict[str, Any]]) -> list[list[str]]:
    keys = [key for key in columns[0] if key not in HIDDEN]
    rows = [[name_of(k), *(cell(k, column.get(k)) for column in columns)] for k in keys]
    return [["", *headings], *rows]


def print_table(title: str, rows: list[list[str]]) -> None:
    """Print heading and rows on the terminal."""
    table = Table(title=title, box=SIMPLE_HEAD)
    for index, heading in enumerate(rows[0]):
        table.add_column(heading, justify="right" if index else "left")
    for row in rows[1:]:
        table.add_row(*row)
    Console().print(table)


def markdown(rows: list[list[str]]) -> list[str]:
    """Write heading and rows as a table in Markdown."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return [lines[0], "| --- |" + " ---: |" * (len(rows[0]) - 1), *lines[1:]]


def card_section(document: dict[str, Any], command: str, pictures: list[str]) -> list[str]:
    """Lines of Markdown that tell all of a benchmark's `document`.

    Args:
        document: as `accuracy.run` returns it.
        command: that made it.
        pictures: file names, in the card's folder.
    """
    threshold = document["uncertain_below"]
    told = (
        f"On the {document['split']} split of {document['data']}: {document['clips']} clips, "
        f"each alone and whole. Probabilities are calibrated (temperature "
        f"{document['temperature']:g}), their expected error (ECE) is of {BINS} bins"
    )
    told += f"; below a confidence of {threshold:g} a label is `uncertain`." if threshold else "."
    results = {
        name: {key: value for key, value in result.items() if not key.endswith("_ms")}
        for name, result in document["backends"].items()
    }
    lines = [told]
    if any(INTERVAL in result for result in results.values()):
        lines += ["Intervals hold 95 % of the accuracies when whole speakers are drawn again."]
    lines += ["", "```", command, "```", "", *markdown(by_backend(results)), ""]
    if document["windows"]:
        lines += [
            "### What a listener hears",
            "",
            f"{document['device_backend']}, windows of at most so many seconds, one each "
            f"{document['hop_s']:g} s of speech, and the segments made of them.",
            "",
            *markdown(by_window(document["windows"])),
            "",
        ]
    if document["groups"]:
        lines += ["### By group of speakers", ""]
        lines += [f"Fewer than {FEWEST_SPEAKERS} speakers are too few for an interval.", ""]
        lines += [*markdown(by_group(document["groups"])), ""]
    return [*lines, *(f"![]({picture})" for picture in pictures)]


def write_card(card: Path, section: list[str]) -> None:
    """Put `section` at the end of the model card, in place of an earlier benchmark's."""
    text = with_last_section(card.read_text(encoding="utf-8"), HEADING, section)
    card.write_text(text, encoding="utf-8")
