"""What to do with the id of a model on a hub, which is never downloaded by itself."""

from __future__ import annotations

import re
from pathlib import Path

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
"""`owner/name`, as a hub writes it."""


def how_to_download(place: str | Path) -> str:
    """Return a sentence, begun by a blank, where a place that is no folder may be a hub's id.

    It may not where the folder that it would lie in is there.
    """
    text = Path(place).as_posix()
    if not HUB_ID.fullmatch(text) or Path(place).parent.is_dir():
        return ""
    name = text.split("/")[1]
    return (
        f" If it is a model on a hub, download it with `hf download {text} --local-dir {name}` "
        f"and give the folder {name}."
    )
