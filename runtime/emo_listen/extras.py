"""Libraries of optional extras: imported when needed, and named if they are missing."""

from __future__ import annotations

import re
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution, requires
from types import ModuleType

from emo_listen.errors import MissingExtraError

DEVELOPMENT_EXTRAS = frozenset({"train", "export", "test-runtime", "test", "docs", "dev"})
"""Extras for work in the clone, which the runtime never needs."""


def import_extra(extra: str, module: str) -> ModuleType:
    """Import `module`, which `extra` installs.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f"{module.partition('.')[0]} is not installed: run "
            f"`pip install 'emo-listen[{extra}]'` ({error})"
        ) from error


def installed_extras() -> dict[str, bool]:
    """Return the runtime's extras, in order of name, and whether all their libraries are there."""
    found = dict[str, bool]()
    for requirement in requires("emo-listen") or []:
        match = re.match(r"([\w.-]+).*; extra == ['\"]([\w.-]+)['\"]$", requirement)
        if match and match[2] not in DEVELOPMENT_EXTRAS:
            found[match[2]] = found.get(match[2], True) and _is_installed(match[1])
    return dict(sorted(found.items()))


def _is_installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True
