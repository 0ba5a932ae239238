"""The names that `emo_listen` exports."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from pathlib import Path

import pytest

import emo_listen
from emo_listen import events


def imports(code: str, module: str) -> set[str]:
    """Names that `code` imports from the modules whose names match a regular expression."""
    return {
        alias.name
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.ImportFrom) and re.fullmatch(module, node.module or "")
        for alias in node.names
    }


@pytest.mark.parametrize("name", emo_listen.__all__)
def test_every_exported_name_can_be_imported(name: str) -> None:
    assert getattr(emo_listen, name).__module__.startswith("emo_listen.") or name == "Event"
    assert name in dir(emo_listen)


def test_what_type_checkers_see_is_what_is_exported() -> None:
    source = Path(emo_listen.__file__).read_text(encoding="utf-8")
    imported = imports(source, r"emo_listen\..*")
    assert imported - {"disable_telemetry"} == set(emo_listen.__all__)


def test_every_event_is_exported() -> None:
    classes = inspect.getmembers(events, inspect.isclass)
    defined = {name for name, value in classes if value.__module__ == events.__name__}
    assert defined | {"Event"} <= set(emo_listen.__all__)


def test_documents_and_examples_import_what_is_exported(repository: Path) -> None:
    codes = [path.read_text(encoding="utf-8") for path in (repository / "examples").rglob("*.py")]
    for page in (repository / "README.md", *(repository / "docs").rglob("*.md")):
        blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
        codes += map(textwrap.dedent, blocks)
    imported = set[str]().union(*(imports(code, "emo_listen") for code in codes))
    assert {"listen", "Listener", "EmotionModel"} <= imported <= set(emo_listen.__all__)
