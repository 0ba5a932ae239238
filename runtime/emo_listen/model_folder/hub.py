"""How to download a hub model, which the runtime never does itself."""

from __future__ import annotations

import re
from pathlib import Path

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
"""A hub id: `owner/name`."""


def how_to_download(path: str | Path) -> str:
    """Return a hint, starting with a space, if a path that is not a folder may be a hub id.

    It cannot be one if its parent folder exists.
    """
    text = Path(path).as_posix()
    if not HUB_ID.fullmatch(text) or Path(path).parent.is_dir():
        return ""
    name = text.split("/")[1]
    return (
        f" If it is a hub id, download the model with `hf download {text} --local-dir {name}` "
        f"and give the folder {name}."
    )
