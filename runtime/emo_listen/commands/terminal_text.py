"""Lets standard output print any text, whatever its encoding."""

from __future__ import annotations

import codecs
import io
import sys

LOOK_ALIKES = {"━": "#", "─": "-", "●": "*", "○": "o", "·": "-", "…": "~"}
"""Replacements for characters of our own output, of the same width."""


def escape_unencodable_output() -> None:
    r"""Replace characters that standard output cannot encode, instead of raising an error.

    Our own characters are replaced by `LOOK_ALIKES`, undecodable bytes of file names are written
    unchanged, and everything else is escaped, as in `\u20ac`.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="emo_listen")


def _replaced(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    character = error.object[error.start]
    replacement: str | bytes
    if "\udc80" <= character <= "\udcff":
        replacement = character.encode("utf-8", "surrogateescape")
    else:
        replacement = LOOK_ALIKES.get(character) or character.encode("ascii", "backslashreplace")
    return replacement, error.start + 1


codecs.register_error("emo_listen", _replaced)
