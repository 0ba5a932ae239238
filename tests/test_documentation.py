"""The documentation names what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

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


@pytest.mark.parametrize("name", ["Makefile", ".github/workflows/tests.yml"])
def test_the_tests_that_a_command_names_exist(repository: Path, name: str) -> None:
    text = (repository / name).read_text(encoding="utf-8")
    named = set(re.findall(r"\btests/[\w/.]*\w", text))
    assert named
    assert [path for path in named if not (repository / path).exists()] == []
