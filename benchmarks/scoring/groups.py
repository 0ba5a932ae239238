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
"""Column name, in lower case, whose numbers of years are grouped into bands."""

AGE_BANDS = ((30, "under 30"), (45, "30 to 44"), (60, "45 to 59"), (200, "60 and over"))
"""End of each band in years (exclusive) and its name; each has 6 or more of CREMA-D's 91 actors."""

UNKNOWN = "unknown"
"""Group of speakers that the table does not list or leaves blank."""

Table = dict[str, dict[str, str]]
"""Group of each speaker, by attribute and speaker."""


def find_table(data: str) -> Path | None:
    """Return the table of speakers in the corpus's folder, if there is one."""
    path = Path(data).expanduser() / CREMA_D_TABLE
    return path if path.is_file() else None


def read_table(path: Path) -> Table:
    """Read a CSV: the first column is the speaker, the others are attributes.

    Raises:
        CorpusError: not such a CSV, or an age that is not a number of years.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
            columns = list(reader.fieldnames or ())
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CorpusError(f"{path} cannot be read as a table of speakers: {error}") from error
    if len(columns) < 2:
        raise CorpusError(f"{path} needs a column of speakers and at least one attribute column")
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
        raise CorpusError(
            f"{text!r} is not an age in years: correct the table of speakers"
        ) from None


def score_groups(
    answers: Answers, table: Table, labels: list[str], uncertain_below: float
) -> list[dict[str, Any]]:
    """Compute the figures of each group, for attributes that have several groups.

    Args:
        answers: as for `figures.figures`.
        table: groups of the speakers.
        labels: class names, in the order of the logits.
        uncertain_below: confidence below which a label is `uncertain`; 0 for never.

    Returns:
        Rows with `attribute`, `group`, `speakers`, `clips` (counts) and the result of `figures`.

    Raises:
        CorpusError: the speaker of a clip is not known.
    """
    if None in answers.speakers:
        raise CorpusError("the corpus does not name the speaker of every clip: leave out --groups")
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
    """Sort ages by age, others by name, and `unknown` last."""
    names = [name for _, name in AGE_BANDS]
    return group.lower() == UNKNOWN, names.index(group) if group in names else 0, group
