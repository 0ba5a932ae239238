"""ESC-10: everyday sounds, which of them training mixes in, and which benchmarks do.

Files are named `KIND-FOLD-CLIP-TAKE`, as `train/get_esc_10.py` writes them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

TRAINING_FOLDS = (1, 2, 3)
"""Folds that training mixes in as noise."""

TEST_FOLDS = (4, 5)
"""Folds that benchmarks mix in, so that the model was never trained on their noise."""

WITH_VOICE = ("baby_cry", "person_sneeze")
"""Kinds that contain a human voice; never used as noise."""


def noise_files(folder: Path) -> Iterator[tuple[Path, str, int]]:
    """Yield path, kind and fold (1 to 5) of each recording without a voice, sorted by name."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        kind, _, rest = path.stem.partition("-")
        if kind not in WITH_VOICE and rest[:1].isdigit():
            yield path, kind, int(rest[0])


def training_noise(folder: Path) -> list[Path]:
    """List the recordings that training mixes in."""
    return [path for path, _, fold in noise_files(folder) if fold in TRAINING_FOLDS]
