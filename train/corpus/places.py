"""Where the clone's checkpoint is, and where commands look for a corpus by default."""

from __future__ import annotations

import os
from pathlib import Path

from emo_listen.errors import CorpusError

CLONE = Path(__file__).resolve().parents[2]

BUNDLED_CHECKPOINT = CLONE / "checkpoints" / "hubert-compact"
"""PyTorch checkpoint of the bundled model, which `export/pack_checkpoint.py` writes."""

DATA_VARIABLE = "EMO_LISTEN_DATA"
"""Environment variable that names the corpus; if it is empty, none is looked for."""

DATA_FOLDERS = (CLONE / "data", CLONE.parent / "shared")
"""Folders in which commands look for corpora; `train/get_*.py` write into the first."""

HOW_TO_GET = "python train/get_crema_d.py --output data/crema-d"

DATA_HELP = f"default: what {DATA_VARIABLE} names, else data/crema-d"
"""Default of `--data`, for its help."""


def corpus_folder(name: str) -> str:
    """Return where the corpus `name` is, relative to the current folder; `data/NAME` if nowhere."""
    places = [folder / name for folder in DATA_FOLDERS]
    return os.path.relpath(next((place for place in places if place.is_dir()), places[0]))


def find_corpus() -> str | None:
    """Find the default corpus; None if there is none."""
    named = os.environ.get(DATA_VARIABLE)
    if named is not None:
        return named or None
    folder = corpus_folder("crema-d")
    return folder if os.path.isdir(folder) else None


def need_corpus(data: str | None) -> str:
    """Return `data`, or else the default corpus.

    Raises:
        CorpusError: there is none; it says how to get one.
    """
    found = data or find_corpus()
    if found is None:
        raise CorpusError(
            f"There is no corpus: set --data or {DATA_VARIABLE}, or download CREMA-D with "
            f"`{HOW_TO_GET}`."
        )
    return found
