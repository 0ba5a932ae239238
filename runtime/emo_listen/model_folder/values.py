"""Checks of values from JSON files: each returns the value, or raises an error that explains it."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

MAX_JSON_BYTES = 8 << 20
"""Maximum size of a JSON file in a model folder. A head of 2,048 values for eight labels takes
400 kB."""


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object from a regular file.

    Raises:
        FileNotFoundError: it does not exist.
        OSError: it cannot be read.
        ValueError: it is too large, nested too deeply, not a JSON object, or holds NaN or Infinity.
    """
    if path.exists() and not path.is_file():
        raise ValueError("it is not a regular file")
    with path.open("rb") as file:
        content = file.read(MAX_JSON_BYTES + 1)
    if len(content) > MAX_JSON_BYTES:
        raise ValueError(f"it is larger than {MAX_JSON_BYTES >> 20} MiB")
    try:
        values = json.loads(content.decode("utf-8-sig"), parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(values, dict):
        raise ValueError("it is not a JSON object")
    return values


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"it holds {name}, which is not JSON")


def number_in(value: Any, low: float, high: float) -> bool:
    """Whether `value` is a number from `low` to `high`; NaN and booleans are not."""
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def number(value: Any, name: str, low: float, high: float) -> float:
    """Return a finite number from `low` to `high`.

    Raises:
        ValueError: it is not.
    """
    if number_in(value, low, high):
        return float(value)
    raise ValueError(f"{name} is {quoted(value)}: it must be a number from {low:g} to {high:g}")


def whole_number(value: Any, name: str, low: int, high: int) -> int:
    """Return a whole number from `low` to `high`; 16000.0 counts as one.

    Raises:
        ValueError: it is not.
    """
    if number_in(value, low, high) and value == math.floor(value):
        return int(value)
    raise ValueError(f"{name} is {quoted(value)}: it must be a whole number from {low} to {high}")


def flag(value: Any, name: str) -> bool:
    """Return true or false.

    Raises:
        ValueError: it is not.
    """
    if isinstance(value, bool):
        return value
    raise ValueError(f"{name} is {quoted(value)}: it must be true or false")


def text(value: Any, name: str, max_length: int) -> str:
    """Return printable text of 1 to `max_length` characters.

    Raises:
        ValueError: it is not.
    """
    if isinstance(value, str) and 0 < len(value) <= max_length and value.isprintable():
        return value
    raise ValueError(
        f"{name} is {quoted(value)}: it must be 1 to {max_length} printable characters"
    )


def mapping(value: Any, name: str) -> dict[str, Any]:
    """Return a JSON object.

    Raises:
        ValueError: it is not.
    """
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return value
    raise ValueError(f"{name} is {quoted(value)}: it must be an object")


def sha256_hex(value: Any, name: str) -> str:
    """Return a SHA-256 in hex.

    Raises:
        ValueError: it is not.
    """
    if isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value):
        return value
    raise ValueError(f"{name} is {quoted(value)}: it must be a SHA-256 in 64 hex digits")


def finite(value: Any) -> Any:
    """Return a JSON value with every NaN and infinity replaced by None."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def one_line(error: Exception, max_length: int = 400) -> str:
    """Return an error's text as one line without control characters."""
    words = " ".join(str(error).split())[:max_length]
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in words)


def quoted(value: Any) -> str:
    """Return `value` for an error message: in ASCII and short."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    text = ascii(value)
    return text if len(text) <= 40 else f"{text[:40]}…"
