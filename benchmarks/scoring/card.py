"""Sections of the model card that benchmarks write where `--write_card` asks for it."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

from benchmarks.common.command import told_command
from benchmarks.scoring.accuracy_tables import markdown
from emo_listen.errors import ModelError

SCORES = "## Scores"
"""Section of the card before which the most important ones come."""


def add_write_card(parser: argparse.ArgumentParser) -> None:
    """Add the option that asks for the section."""
    parser.add_argument(
        "--write_card",
        action="store_true",
        help="write tables and pictures into the model folder's README.md",
    )


def check_card(args: argparse.Namespace) -> None:
    """Refuse `--write_card` early where there is no card.

    Raises:
        ModelError: the model folder has no README.md.
    """
    if args.write_card and not (args.model / "README.md").is_file():
        raise ModelError(f"{args.model} has no README.md to write into: leave out --write_card")


def write_card(
    model: Path,
    heading: str,
    told: str,
    tables: Sequence[list[list[str]]],
    pictures: Sequence[Path],
    *,
    first: bool = False,
) -> None:
    """Put a section into the model's card, in place of an older one under that heading.

    Args:
        model: the model's folder.
        heading: of the section, with its `## `.
        told: what was measured, on what.
        tables: each a heading and rows.
        pictures: that are copied into the folder.
        first: put a new section before the scores, not at the end.
    """
    lines = [told, "", "```", told_command(), "```", ""]
    for table in tables:
        lines += [*markdown(table), ""]
    for picture in pictures:
        shutil.copyfile(picture, model / picture.name)
    lines += [f"![]({picture.name})" for picture in pictures]
    card = model / "README.md"
    text = with_section(card.read_text(encoding="utf-8"), heading, lines, first=first)
    card.write_text(text, encoding="utf-8")
    print(f"Wrote {card}")


def with_section(card: str, heading: str, lines: Sequence[str], *, first: bool) -> str:
    """Return `card` with one section replaced or added; the others stay as they are."""
    section = "\n".join([heading, "", *lines])
    before, found, rest = f"\n{card}".partition(f"\n{heading}\n")
    if found:
        _, next_heading, after = rest.partition("\n## ")
    elif first and f"\n{SCORES}\n" in before:
        before, _, after = before.partition(f"\n{SCORES}\n")
        next_heading, after = "\n## ", f"{SCORES.removeprefix('## ')}\n{after}"
    else:
        next_heading = after = ""
    return f"{before.rstrip()}\n\n{section.rstrip()}\n{next_heading}{after}".lstrip("\n")
