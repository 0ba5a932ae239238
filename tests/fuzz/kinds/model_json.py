"""`emo_listen.json`, `config.json` and `preprocessor_config.json` of a model folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from random import Random

from emo_listen.model_settings import FILE_NAME, ModelSettings
from tests.fuzz.checks import try_model
from tests.fuzz.mutations import mutated_bytes, mutated_json

TINY_MODEL = Path(__file__).parents[1] / "tiny_model"
"""`graph.export_fp32` of a HuBERT with random weights: `tiny_checkpoints.COMPACT` with one layer of
width 16 and convolutions of width 8."""

FILES = (FILE_NAME, "config.json", "preprocessor_config.json")


def prepare(folder: Path) -> None:
    """Copy the model, and give it settings."""
    shutil.copytree(TINY_MODEL, folder, dirs_exist_ok=True)
    ModelSettings(window=1.0, origin={"data": ["none"]}, scores={"test": {"uar": 0.5}}).write(
        folder
    )
    shutil.copytree(folder, folder / "whole")


def attempt(random: Random, folder: Path) -> str:
    """Change one file."""
    name = random.choice(FILES)
    whole = (folder / "whole" / name).read_text(encoding="utf-8")
    match random.randrange(10):
        case 0:
            changed = random.choice(["[", '{"a":']) * random.choice([10, 1000, 100_000])
        case 1:
            changed = json.dumps({**json.loads(whole), "id2label": "x" * 10_000_000})
        case 2 | 3:
            changed = mutated_bytes(whole.encode(), random).decode(errors="surrogateescape")
        case _:
            changed = json.dumps(mutated_json(json.loads(whole), random))
    try:
        (folder / name).write_text(changed, encoding="utf-8", errors="surrogateescape")
        return try_model(folder)
    finally:
        (folder / name).write_text(whole, encoding="utf-8")
