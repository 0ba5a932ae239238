"""Libraries that come with an extra: imported when needed, named where they are missing."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from emo_listen.errors import MissingExtraError

EXTRAS = {
    "websocket": "websockets",
    "osc": "pythonosc",
    "plot": "matplotlib",
    "audformat": "audformat",
}
"""The module that each extra is installed for."""


def import_extra(extra: str, module: str | None = None) -> ModuleType:
    """Import the module that `extra` is installed for, or `module` of it.

    Raises:
        MissingExtraError: it is not installed.
    """
    name = EXTRAS[extra]
    try:
        return import_module(module or name)
    except ImportError as error:
        raise MissingExtraError(
            f"{name} is missing: install it with `pip install 'emo-listen[{extra}]'` ({error})"
        ) from error
