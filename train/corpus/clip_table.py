"""Clips listed in a table: a CSV as documented here, or as other tools write it."""

from __future__ import annotations

import argparse
import csv
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

from emo_listen.errors import CorpusError
from train.corpus.sound_files import ClipRow

TABLE_SUFFIXES = (".csv", ".tsv")

DELIMITERS = ",;\t|"
"""Possible separators of columns."""

FILE_COLUMNS = (
    *("file", "path", "filename", "file_name", "filepath", "file_path"),
    *("audio", "audio_path", "audio_file", "wav", "clip"),
)
LABEL_COLUMNS = ("label", "labels", "emotion", "class")
SPEAKER_COLUMNS = ("speaker", "speaker_id", "actor", "actor_id")
SPLIT_COLUMNS = ("split", "subset", "partition")


@dataclass(frozen=True)
class Columns:
    """Names of a table's columns, if they are not the usual ones or several could be meant."""

    file: str | None = None
    """Column of the files."""

    label: str | None = None
    """Column of the classes."""


USUAL_COLUMNS = Columns()
"""Columns with usual names, which are found."""


def add_columns(parser: argparse.ArgumentParser) -> None:
    """Add the options `--file_column` and `--label_column`."""
    parser.add_argument(
        "--file_column", help="column of files in a CSV (default: file, path, filename, …)"
    )
    parser.add_argument(
        "--label_column", help="column of labels in a CSV (default: label, emotion, …)"
    )


def columns_of(args: Any) -> Columns:
    """Columns that `--file_column` and `--label_column` name."""
    return Columns(args.file_column, args.label_column)


def read_table(path: Path, columns: Columns) -> list[ClipRow]:
    """Read a table with a header; its files are relative to its folder.

    The delimiter is detected, the usual names of columns are found in upper and lower case, and
    backslashes of Windows are read as slashes unless a file has them in its name.

    Raises:
        CorpusError: it is not a table in UTF-8, a column is missing or ambiguous, or a row has no
            file, no label, or more fields than the header.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = file.readline()
            delimiter = max(DELIMITERS, key=header.count)
            names = [name.strip() for name in next(csv.reader([header], delimiter=delimiter), [])]
            file_column = find_column(path, names, FILE_COLUMNS, columns.file, "file")
            label_column = find_column(path, names, LABEL_COLUMNS, columns.label, "label")
            speaker_column = first_column(names, SPEAKER_COLUMNS)
            split_column = first_column(names, SPLIT_COLUMNS)
            rows = []
            reader = csv.DictReader(file, names, delimiter=delimiter)
            for row in reader:
                place = f"{path}, line {reader.line_num + 1}"
                if None in row:
                    raise CorpusError(f"{place}: there are more fields than columns in the header.")
                values = {name: (text or "").strip() for name, text in row.items()}
                if not any(values.values()):
                    continue
                if not values[file_column] or not values[label_column]:
                    raise CorpusError(f"{place}: the file or the label is missing.")
                rows.append(
                    (
                        find_file(path.parent, values[file_column]),
                        values[label_column],
                        values.get(speaker_column or "") or None,
                        values.get(split_column or "") or None,
                    )
                )
    except (UnicodeDecodeError, csv.Error) as error:
        raise CorpusError(f"{path} is not a CSV in UTF-8: {error}") from error
    if not rows:
        raise CorpusError(f"{path} lists no clips: add a line for each below the header.")
    if (file_column, label_column, delimiter) != ("file", "label", ","):
        print(f"{path}: files are in the column {file_column!r}, labels in {label_column!r}.")
    labels = class_names([label for _, label, _, _ in rows], str(path))
    return [
        (file, label, speaker, split)
        for (file, _, speaker, split), label in zip(rows, labels, strict=True)
    ]


def find_column(
    path: Path, names: list[str], usual: tuple[str, ...], wanted: str | None, kind: str
) -> str:
    """Find a table's column of `kind`, "file" or "label".

    Raises:
        CorpusError: it is missing or ambiguous.
    """
    columns = f"{path} has the columns {', '.join(names) or '(none)'}"
    if wanted is not None:
        if wanted not in names:
            raise CorpusError(f"{columns}, not {wanted}: correct --{kind}_column.")
        return wanted
    found = [name for name in names if name.lower() in usual]
    plain = [name for name in found if name.lower() == kind]
    if len(plain or found) > 1:
        raise CorpusError(f"{columns}: choose the {kind} with --{kind}_column.")
    if not found:
        raise CorpusError(
            f"{columns}, none of them named {kind} or similar: choose one with --{kind}_column, or "
            "start the table with the line file,label or file,label,speaker,split."
        )
    return (plain or found)[0]


def first_column(names: list[str], usual: tuple[str, ...]) -> str | None:
    """First of a table's columns that has one of the usual names."""
    return next((name for name in names if name.lower() in usual), None)


def find_file(folder: Path, text: str) -> Path:
    """Path of a table's file, relative to `folder` unless it is absolute."""
    file = folder / text
    if "\\" in text and not file.is_file():
        return folder / PureWindowsPath(text).as_posix()
    return file


def class_names(labels: Iterable[Any], place: str) -> list[str]:
    """Names of classes from a corpus's labels, which may be whole numbers.

    Args:
        labels: of its clips.
        place: name of the corpus in messages.

    Raises:
        CorpusError: they are fractions, which cannot be classes.
    """
    names = [str(label) for label in labels]
    numbers = [as_number(name) for name in names]
    if any(number is None for number in numbers):
        return names
    for name, number in zip(names, numbers, strict=True):
        if number is not None and not number.is_integer():
            raise CorpusError(
                f"{place} has fractions as labels, such as {name}, but a classifier needs classes: "
                "regression is not supported."
            )
    whole = [
        name if name.isdecimal() else str(int(number or 0))
        for name, number in zip(names, numbers, strict=True)
    ]
    some = ", ".join(sorted(set(whole))[:10])
    print(f"WARNING: {place} has numbers as labels ({some}), which become the names of classes.")
    return whole


def as_number(text: str) -> float | None:
    """Parse a finite number; None if `text` is none."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
