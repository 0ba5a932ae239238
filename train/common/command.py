"""What commands share: help that fits the terminal, and an exit code after named errors."""

from __future__ import annotations

import argparse
import re
import sys
import textwrap
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

from emo_listen.errors import EmoListenError

Options = ParamSpec("Options")


class HelpFormatter(argparse.HelpFormatter):
    """Wraps the description's paragraphs except lists and indented ones, such as commands."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs = re.split(r"\n{2,}", text.strip("\n"))
        return "\n\n".join(
            paragraph if paragraph.startswith((" ", "- ")) else textwrap.fill(paragraph, width)
            for paragraph in paragraphs
        )


def command_parser(description: str | None) -> argparse.ArgumentParser:
    """Make the parser of a command, described by its module's docstring."""
    return argparse.ArgumentParser(description=description, formatter_class=HelpFormatter)


def exits_with_code(main: Callable[Options, object]) -> Callable[Options, int]:
    """Wrap a command's `main` so that it returns the exit code: 0, or 2 after a named error."""

    @wraps(main)
    def wrapped(*args: Options.args, **kwargs: Options.kwargs) -> int:
        try:
            main(*args, **kwargs)
        except EmoListenError as error:
            print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
            return 2
        return 0

    return wrapped
