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

CORPUS_PLACES = (CLONE.parent / "shared" / "crema-d", CLONE / "data" / "crema-d")
"""Where commands look for CREMA-D without it."""

HOW_TO_GET = "python train/get_crema_d.py --output data/crema-d"

DATA_HELP = f"default: what {DATA_VARIABLE} names, else ../shared/crema-d or data/crema-d"
"""Default of `--data`, for its help."""


def find_corpus() -> str | None:
    """Find the default corpus; None if there is none."""
    named = os.environ.get(DATA_VARIABLE)
    if named is not None:
        return named or None
    found = next((place for place in CORPUS_PLACES if place.is_dir()), None)
    return os.path.relpath(found) if found else None


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
