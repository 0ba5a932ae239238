"""The documentation names what there is."""

from __future__ import annotations

import re
from pathlib import Path

FOLDERS = ("runtime/emo_listen", "train", "export", "benchmarks")


def test_the_file_map_has_every_python_file(repository: Path) -> None:
    text = (repository / "docs" / "architecture.md").read_text(encoding="utf-8")
    mapped = []
    folder = ""
    for line in text.splitlines():
        if heading := re.fullmatch(r"### `(.+/)`", line):
            folder = heading[1]
        elif row := re.match(r"\| `([^`]+\.py)` \| \S", line):
            mapped.append(folder + row[1])
    present = [
        path.relative_to(repository).as_posix()
        for name in FOLDERS
        for path in (repository / name).rglob("*.py")
    ]
    assert sorted(mapped) == sorted(present)
