"""Where a model came from, without paths of this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from emo_listen.model_settings import ModelSettings


def public_name(place: str) -> str:
    """Hub id, or the name of a local folder or file without its path."""
    return Path(place).resolve().name if Path(place).exists() else place


def origin_of(base_model: str) -> dict[str, Any]:
    """Read the origin of a local base model in its `emo_listen.json`; else empty."""
    return ModelSettings.read(Path(base_model)).origin if Path(base_model).is_dir() else {}
