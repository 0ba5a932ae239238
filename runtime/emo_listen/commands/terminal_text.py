"""Standard output that takes any text, whatever its encoding, such as ASCII."""

from __future__ import annotations

import codecs
import io
import sys

LOOK_ALIKES = {"━": "#", "─": "-", "●": "*", "○": "o", "·": "-", "…": "~"}
"""What stands for the characters of our own output, each as wide."""


def escape_unencodable_output() -> None:
    r"""Replace what standard output cannot encode, where an error would end the command.

    Our own characters get look-alikes, bytes of file names that are no text go through as they
    are, and all else becomes an escape such as `\u20ac`.
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
