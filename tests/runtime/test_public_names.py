"""The names that `emo_listen` exports."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest

import emo_listen
from emo_listen import events


def imports(code: str, module: str = "emo_listen") -> set[str]:
    """Names that `code` imports from modules whose name begins with `module`."""
    return {
        alias.name
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(module)
        for alias in node.names
    }


@pytest.mark.parametrize("name", emo_listen.__all__)
def test_every_exported_name_can_be_imported(name: str) -> None:
    assert getattr(emo_listen, name).__module__.startswith("emo_listen.") or name == "Event"
    assert name in dir(emo_listen)


def test_what_type_checkers_see_is_what_is_exported() -> None:
    source = Path(emo_listen.__file__).read_text(encoding="utf-8")
    imported = imports(source, "emo_listen.")
    assert imported - {"disable_telemetry"} == set(emo_listen.__all__)


def test_every_event_is_exported() -> None:
    classes = inspect.getmembers(events, inspect.isclass)
    defined = {name for name, value in classes if value.__module__ == events.__name__}
    assert defined | {"Event"} <= set(emo_listen.__all__)


def test_documents_and_examples_import_what_is_exported(repository: Path) -> None:
    codes = [path.read_text(encoding="utf-8") for path in (repository / "examples").glob("*.py")]
    for page in (repository / "README.md", *(repository / "docs").rglob("*.md")):
        codes += re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    imported = set[str]().union(*(imports(code) for code in codes))
    assert {"listen", "Listener", "EmotionModel"} <= imported
    assert imported - {"OTHER_RGB", "RGB"} <= set(emo_listen.__all__)
