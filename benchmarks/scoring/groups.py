"""Groups of speakers: a table such as CREMA-D's `VideoDemographics.csv`, and scores by group."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.scoring.figures import figures
from emo_listen.errors import CorpusError
from train.evaluation.calibration import Answers

CREMA_D_TABLE = "VideoDemographics.csv"
"""CREMA-D's table of its actors: `ActorID`, `Age`, `Sex`, `Race`, `Ethnicity`."""

AGE = "age"
"""Name of the column, in lower case, whose numbers of years are put into bands."""

AGE_BANDS = ((30, "under 30"), (45, "30 to 44"), (60, "45 to 59"), (200, "60 and over"))
"""Age in years that a band ends before, and its name; at least six of CREMA-D's 91 actors each."""

UNKNOWN = "unknown"
"""Group of a speaker whom the table does not name, or of whom it says nothing."""

Table = dict[str, dict[str, str]]
"""By attribute, the group of each speaker."""


def find_table(data: str) -> Path | None:
    """Return the table of speakers that lies in the corpus's folder, where there is one."""
    path = Path(data).expanduser() / CREMA_D_TABLE
    return path if path.is_file() else None


def read_table(path: Path) -> Table:
    """Read a CSV: the first column names the speaker, each other column is an attribute.

    Raises:
        CorpusError: no such CSV, or an age that is no number of years.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
            columns = list(reader.fieldnames or ())
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CorpusError(f"{path} cannot be read as a table of speakers: {error}") from error
    if len(columns) < 2:
        raise CorpusError(f"{path} needs a column for the speaker, and one for each attribute")
    table: Table = {}
    for column in columns[1:]:
        read = _age_band if column.strip().lower() == AGE else str.strip
        table[column.strip().lower()] = {
            row[columns[0]].strip(): read(row[column] or "") or UNKNOWN for row in rows
        }
    return table


def _age_band(text: str) -> str:
    if not text.strip():
        return UNKNOWN
    try:
        years = float(text)
        return next(name for end, name in AGE_BANDS if 0 <= years < end)
    except (ValueError, StopIteration):
        raise CorpusError(f"{text!r} is no age in years: mend the table of speakers") from None


def score_groups(
    answers: Answers, table: Table, labels: list[str], uncertain_below: float
) -> list[dict[str, Any]]:
    """Tell the figures of each group, by attribute, of those that tell speakers apart.

    Args:
        answers: as `figures.figures`.
        table: of the speakers.
        labels: class names, in the order of the logits.
        uncertain_below: confidence below which a label is `uncertain`; 0 never.

    Returns:
        Rows with `attribute`, `group`, `speakers` and `clips` (counts) and what `figures` gives.

    Raises:
        CorpusError: the corpus does not tell every clip's speaker.
    """
    if None in answers.speakers:
        raise CorpusError("groups need speakers, and the corpus does not tell every clip's")
    rows = []
    for attribute, group_of in table.items():
        of_clip = np.array([group_of.get(str(name), UNKNOWN) for name in answers.speakers])
        groups = sorted(set(of_clip), key=_in_order)
        if len(groups) < 2:
            continue
        for group in groups:
            chosen = answers.select(of_clip == group)
            rows.append(
                {
                    "attribute": attribute,
                    "group": str(group),
                    "speakers": len(set(chosen.speakers)),
                    "clips": len(chosen.classes),
                    **figures(chosen, labels, uncertain_below),
                }
            )
    return rows


def _in_order(group: str) -> tuple[bool, int, str]:
    """Sort ages by age, others by name, and what is unknown last."""
    names = [name for _, name in AGE_BANDS]
    return group.lower() == UNKNOWN, names.index(group) if group in names else 0, group
