"""EMO-DB: ten German actors, and how their clips are used.

`splits/emo_db.csv` has two columns of splits. While a recipe is being chosen, every actor is
`validation`, so that EMO-DB is a corpus the model was never trained on. The final recipe, in which
nothing is chosen any more, trains on all of them.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

from train.corpus.sound_files import ClipRow, audio_files

NAME = re.compile(r"(?P<actor>03|08|09|1[0-6])[ab]\d\d(?P<emotion>[WFNTAEL])[a-z]")
"""EMO-DB's file names: actor, text, emotion, version."""

EMOTIONS = {
    "W": "anger",
    "F": "happiness",
    "N": "neutral",
    "T": "sadness",
    "A": "fear",
    "E": "disgust",
}
"""By the initials of their German names. Boredom (`L`) is left out: no other corpus has it."""

SPLITS_FILE = Path(__file__).resolve().parent / "splits" / "emo_db.csv"


def read_emo_db(folder: Path, final: bool = False) -> list[ClipRow]:
    """List the clips of an EMO-DB folder; empty for any other folder.

    Args:
        folder: the clips' folder, or the one that contains their `wav/` or `audio/`.
        final: return the splits of the final recipe instead of those for choosing one.
    """
    for place in (folder / "audio", folder / "wav", folder):
        if not place.is_dir():
            continue
        found = [(file, NAME.fullmatch(file.stem)) for file in audio_files(place)]
        if found and all(match for _, match in found):
            splits = read_splits("final" if final else "choosing")
            return [
                (file, EMOTIONS[match["emotion"]], match["actor"], splits[match["actor"]])
                for file, match in found
                if match and match["emotion"] in EMOTIONS
            ]
    return []


def read_splits(column: str) -> dict[str, str]:
    """Split of each actor, from the column `choosing` or `final`."""
    with SPLITS_FILE.open(encoding="utf-8", newline="") as file:
        return {row["speaker"]: row[column] for row in csv.DictReader(file)}
