"""Sections of the model card that benchmarks write with `--write_card`."""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from pathlib import Path

from benchmarks.common.command import command_line
from emo_listen.errors import ModelError

CARD = "README.md"

SCORES = "## Scores"
"""Section of the card before which the most important ones are put."""


def add_write_card(parser: argparse.ArgumentParser) -> None:
    """Add the option that asks for the section."""
    parser.add_argument(
        "--write_card",
        action="store_true",
        help=f"write the tables and plots to {CARD} in the model folder",
    )


def check_card(args: argparse.Namespace) -> None:
    """Refuse `--write_card` early if there is no card.

    Raises:
        ModelError: the model folder has no README.md.
    """
    if args.write_card and not (args.model / CARD).is_file():
        raise ModelError(f"{args.model} has no {CARD} to write to: leave out --write_card")


def write_card(
    model: Path,
    heading: str,
    summary: str,
    results: Sequence[str],
    plots: Sequence[Path],
    *,
    first: bool = False,
) -> None:
    """Write a section of the model's card, replacing an older one with that heading.

    Args:
        model: the model folder.
        heading: of the section, with its `## `.
        summary: what was measured, and on what data.
        results: Markdown lines.
        plots: copied to the folder.
        first: put a new section before the scores instead of at the end.
    """
    lines = [summary, "", "```", command_line(), "```", "", *results, ""]
    for plot in plots:
        shutil.copyfile(plot, model / plot.name)
    lines += [f"![]({plot.name})" for plot in plots]
    card = model / CARD
    text = with_section(card.read_text(encoding="utf-8"), heading, lines, first=first)
    card.write_text(text, encoding="utf-8")
    print(f"Wrote {card}")


def with_section(card: str, heading: str, lines: Sequence[str], *, first: bool) -> str:
    """Return `card` with one section replaced or added; other sections are unchanged."""
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
