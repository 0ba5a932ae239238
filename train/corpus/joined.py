"""Several corpora as one, to train and to validate with at once."""

from __future__ import annotations

from pathlib import Path

import datasets
import numpy as np

from emo_listen.errors import CorpusError
from train.corpus.clip_table import USUAL_COLUMNS, Columns
from train.corpus.load import COLUMNS, load_corpus
from train.corpus.provenance import public_name
from train.corpus.splits import made_splits

JOINED_COLUMNS = datasets.Features({**COLUMNS, "corpus": datasets.Value("string")})
"""`load.COLUMNS`, and which corpus a clip is of."""


def load_corpora(
    data: list[str], final: bool = False, columns: Columns = USUAL_COLUMNS
) -> datasets.Dataset:
    """Read the lists of clips of one or several corpora, one after the other.

    A corpus need not have all classes of the others. One that names no splits is divided by
    speaker on its own, where it is joined to others, so that each is in every split.

    Args:
        data: places, each as `load.load_corpus` takes it.
        final: train on EMO-DB, as the final recipe does, rather than validate with it.
        columns: of a CSV.

    Returns:
        Rows of `JOINED_COLUMNS`; `corpus` is the name of the folder, file or hub dataset, and
        known speakers are `corpus/speaker`.

    Raises:
        CorpusError: a corpus is none, is given twice, or cannot be divided.
    """
    places = [Path(place).expanduser() for place in data]
    resolved = [str(path.resolve()) if path.exists() else str(path) for path in places]
    if len(set(resolved)) < len(resolved):
        raise CorpusError(f"--data names a corpus twice: {' '.join(data)}")
    names = corpus_names(data)
    joined = []
    for place, name in zip(data, names, strict=True):
        clips = load_corpus(place, final, columns)
        split = list(clips["split"])
        if len(data) > 1 and not any(split):
            split = made_splits(np.array(list(clips["label"])), list(clips["speaker"]))
        told = {
            "speaker": [voice and f"{name}/{voice}" for voice in clips["speaker"]],
            "split": split,
            "corpus": [name] * len(clips),
        }
        joining = datasets.Dataset.from_dict(
            told, features=datasets.Features({key: datasets.Value("string") for key in told})
        )
        clips = clips.remove_columns(["speaker", "split"])
        whole = datasets.concatenate_datasets([clips, joining], axis=1)
        joined.append(whole.select_columns(list(JOINED_COLUMNS)))
    return datasets.concatenate_datasets(joined)


def corpus_names(data: list[str]) -> list[str]:
    """Name of each corpus; the second of one name is numbered, as in `recordings-2`."""
    names: list[str] = []
    for place in data:
        name, count = public_name(place), 1
        while (name if count == 1 else f"{name}-{count}") in names:
            count += 1
        names.append(name if count == 1 else f"{name}-{count}")
    return names
