"""Tables of text cells, the first row being the heading: for the terminal and for Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

Rows = Sequence[Sequence[str]]
"""Heading and rows, all of one length."""


def print_table(title: str, rows: Rows) -> None:
    """Print a table to standard output, its first column left-aligned."""
    table = Table(title=title, box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for index, heading in enumerate(rows[0]):
        table.add_column(heading, justify="right" if index else "left", overflow="fold")
    for row in rows[1:]:
        table.add_row(*row)
    Console().print(table)


def markdown_table(rows: Rows) -> list[str]:
    """Return a table's lines of Markdown, its first column left-aligned."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return [lines[0], "| --- |" + " ---: |" * (len(rows[0]) - 1), *lines[1:]]
