"""Where the clone keeps its checkpoint, and where a corpus is looked for that nobody named."""

from __future__ import annotations

import os
from pathlib import Path

from emo_listen.errors import CorpusError

CLONE = Path(__file__).resolve().parents[2]

BUNDLED_CHECKPOINT = CLONE / "checkpoints" / "hubert-compact"
"""PyTorch checkpoint of the bundled model, which `export/pack_checkpoint.py` writes."""

DATA_VARIABLE = "EMO_LISTEN_DATA"
"""Environment variable that names the corpus; set but empty, no corpus is looked for."""

CORPUS_PLACES = (CLONE.parent / "shared" / "crema-d", CLONE / "data" / "crema-d")
"""Where CREMA-D is looked for without that."""

HOW_TO_GET = "python train/get_crema_d.py --output data/crema-d"

DATA_HELP = f"default: what {DATA_VARIABLE} names, else ../shared/crema-d or data/crema-d"
"""What the help of `--data` says of its default."""


def find_corpus() -> str | None:
    """Corpus to work with where none was named; None where there is none."""
    named = os.environ.get(DATA_VARIABLE)
    if named is not None:
        return named or None
    found = next((place for place in CORPUS_PLACES if place.is_dir()), None)
    return os.path.relpath(found) if found else None


def need_corpus(data: str | None) -> str:
    """Corpus that was named, or else found.

    Raises:
        CorpusError: neither; it says how to get one.
    """
    found = data or find_corpus()
    if found is None:
        raise CorpusError(
            f"there is no corpus: name one with --data or {DATA_VARIABLE}, or get CREMA-D with "
            f"`{HOW_TO_GET}`"
        )
    return found
