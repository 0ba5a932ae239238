"""Groups files by voice, for `--group-by`."""

from __future__ import annotations

import argparse
import hashlib
import os
import re
from collections.abc import Callable, Sequence
from typing import Any

from emo_listen.commands.sound_files import real_path

Grouping = Callable[[str], str | None]
"""Maps a file's path to the name of its voice; None if no other file has the same voice."""


def grouping(text: str) -> Grouping:
    """Parse a value of `--group-by`: `folder` or a regular expression.

    The voice's name is what the expression's first group matches in the path, or the whole match
    if it has no group.

    Raises:
        argparse.ArgumentTypeError: it is not a regular expression.
    """
    if text == "folder":
        return os.path.dirname
    try:
        pattern = re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither `folder` nor a regular expression: {error}"
        ) from error

    def voice(file: str) -> str | None:
        found = pattern.search(file)
        return None if found is None else found.group(min(1, pattern.groups))

    return voice


def group_files(files: Sequence[str], voice_of: Grouping) -> list[list[str]]:
    """Return the files of each voice, ordered by the first file of each."""
    groups: dict[tuple[str, str], list[str]] = {}
    for file in files:
        voice = voice_of(file)
        key = ("file", file) if voice is None else ("voice", voice)
        groups.setdefault(key, []).append(file)
    return list(groups.values())


def group_digest(files: Sequence[str], states: dict[str, dict[str, Any]]) -> str:
    """Return a hash of a group, which differs once a file is added, changed or removed."""
    digest = hashlib.sha256()
    for path, file in sorted((real_path(file), file) for file in files):
        digest.update(os.fsencode(path) + repr(sorted(states[file].items())).encode())
    return digest.hexdigest()[:16]
