"""The CSV of soft labels: for each training clip, a probability of each class."""

from __future__ import annotations

import csv
import os
from collections import Counter
from pathlib import Path, PurePath

import numpy as np

from emo_listen.decoding.suffixes import SOUND_SUFFIXES
from emo_listen.errors import CorpusError

NAME_COLUMN = "name"

SUM_TOLERANCE = 0.01
"""Largest difference of a row's sum from 1, since probabilities may be rounded."""


def clip_keys(names: list[str]) -> list[str]:
    """Names of clips without common folders and suffixes, so that corpora may be moved.

    Args:
        names: of the clips of one split, as in `load.load_corpus`.

    Raises:
        CorpusError: two clips have the same key.
    """
    paths = [PurePath(name) for name in names]
    common = len(PurePath(os.path.commonpath([path.parent for path in paths])).parts)
    keys = []
    for path in paths:
        known = path.suffix.casefold() in SOUND_SUFFIXES
        keys.append(PurePath(*path.parts[common:]).with_suffix("" if known else path.suffix))
    duplicates = [key for key, count in Counter(keys).items() if count > 1]
    if duplicates:
        raise CorpusError(
            f"Several clips are named {duplicates[0]}: soft labels need unique file names, so "
            "rename one."
        )
    return [key.as_posix() for key in keys]


def write_soft_labels(
    path: Path, names: list[str], label_names: list[str], probabilities: np.ndarray
) -> None:
    """Write a CSV of `name` and a column for each class.

    Args:
        path: of the CSV; its folder is created if it is missing.
        names: of the clips of one split.
        label_names: classes.
        probabilities: (n_clips, n_classes), 0 to 1.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([NAME_COLUMN, *label_names])
        for key, row in zip(clip_keys(names), probabilities, strict=True):
            writer.writerow([key, *(f"{value:.6f}" for value in row)])


def read_soft_labels(
    path: Path, names: list[str], label_names: list[str], corpora: list[str] | None = None
) -> np.ndarray:
    """Read a CSV of `name` and a column for each class.

    Args:
        path: of the CSV; rows have the names of `clip_keys` or those of the corpus.
        names: of the clips of one split.
        label_names: classes.
        corpora: corpus of each clip, if several are joined; keys are made for each corpus
            separately, since soft labels are of one.

    Returns:
        Probabilities float32 (n_clips, n_classes), NaN for clips without a row.

    Raises:
        CorpusError: the CSV cannot be read, has other classes, values that are not probabilities
            or do not add up to 1, or a row for none of the clips; or a row matches clips of two
            corpora.
    """
    table = read_soft_label_rows(path, label_names)
    keys = keys_by_corpus(names, corpora or [""] * len(names))
    counts = Counter(key for key in keys if key in table)
    if duplicates := [key for key, count in counts.items() if count > 1]:
        raise CorpusError(
            f"{path}: {duplicates[0]} is a clip of two corpora: use the full names that the clips "
            "have in their corpus."
        )
    found = np.full((len(names), len(label_names)), np.nan, np.float32)
    for i, (name, key) in enumerate(zip(names, keys, strict=True)):
        row = table.get(key, table.get(name))
        if row is not None:
            found[i] = row
    if np.isnan(found).all():
        raise CorpusError(
            f"{path} has none of the {len(names)} training clips, such as {keys[0]}: give soft "
            "labels of this corpus."
        )
    return found


def keys_by_corpus(names: list[str], corpora: list[str]) -> list[str]:
    """`clip_keys` of each corpus's clips; `corpora` is the corpus of each of `names`."""
    keys = [""] * len(names)
    for corpus in dict.fromkeys(corpora):
        of_corpus = [i for i, other in enumerate(corpora) if other == corpus]
        for i, key in zip(of_corpus, clip_keys([names[i] for i in of_corpus]), strict=True):
            keys[i] = key
    return keys


def read_soft_label_rows(path: Path, label_names: list[str]) -> dict[str, np.ndarray]:
    """Read the rows of a CSV of soft labels by name; raises as `read_soft_labels`."""
    table: dict[str, np.ndarray] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns = set(reader.fieldnames or ())
            if columns != {NAME_COLUMN, *label_names}:
                raise CorpusError(
                    f"{path} has the columns {', '.join(reader.fieldnames or ['(none)'])}: they "
                    f"must be {', '.join([NAME_COLUMN, *label_names])}."
                )
            for row in reader:
                place = f"{path}, line {reader.line_num}"
                table[row[NAME_COLUMN]] = probabilities_of(row, label_names, place)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CorpusError(f"The soft labels {path} cannot be read: {error}") from error
    return table


def probabilities_of(row: dict[str, str], label_names: list[str], place: str) -> np.ndarray:
    """Probabilities (n_classes,) of a row, scaled to add up to exactly 1."""
    try:
        values = np.array([float(row[name]) for name in label_names])
    except (TypeError, ValueError) as error:
        raise CorpusError(f"{place}: each class needs a number ({error}).") from error
    if not (values >= 0).all() or abs(values.sum() - 1) > SUM_TOLERANCE:
        raise CorpusError(
            f"{place}: the probabilities {', '.join(f'{value:g}' for value in values)} must be 0 "
            "to 1 and add up to 1."
        )
    return values / values.sum()
