"""Where a model came from, told so that others can follow it: no paths of this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from emo_listen.model_settings import ModelSettings


def public_name(place: str) -> str:
    """Hub id as it is; of a local folder or file its name, since the rest says nothing."""
    return Path(place).resolve().name if Path(place).exists() else place


def origin_of(base_model: str) -> dict[str, Any]:
    """Read what a local base model's `emo_listen.json` tells of its origin; else empty."""
    return ModelSettings.read(Path(base_model)).origin if Path(base_model).is_dir() else {}
