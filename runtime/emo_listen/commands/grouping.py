"""Which files are of one voice: `--group-by`."""

from __future__ import annotations

import argparse
import hashlib
import os
import re
from collections.abc import Callable, Sequence
from typing import Any

Grouping = Callable[[str], str | None]
"""From a file's path to the name of its voice; None where it stands alone."""


def grouping(text: str) -> Grouping:
    """Read `folder` or a regular expression, as `--group-by` takes them.

    What the expression's first group matches in the path names the voice, or the whole match
    where it has no group.
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
    """Return the files of each voice, in the order of the first of each."""
    groups: dict[tuple[str, str], list[str]] = {}
    for file in files:
        voice = voice_of(file)
        key = ("file", file) if voice is None else ("voice", voice)
        groups.setdefault(key, []).append(file)
    return list(groups.values())


def group_digest(files: Sequence[str], states: dict[str, dict[str, Any]]) -> str:
    """Return what tells a group from the same with a file added, changed or gone."""
    digest = hashlib.sha256()
    for path, file in sorted((os.path.realpath(file), file) for file in files):
        digest.update(os.fsencode(path) + repr(sorted(states[file].items())).encode())
    return digest.hexdigest()[:16]
