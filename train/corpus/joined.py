"""Several corpora as one, to train and validate on together."""

from __future__ import annotations

from pathlib import Path

import datasets

from emo_listen.errors import CorpusError
from train.corpus.clip_table import USUAL_COLUMNS, Columns
from train.corpus.load import COLUMNS, load_corpus
from train.corpus.provenance import public_name

JOINED_COLUMNS = datasets.Features({**COLUMNS, "corpus": datasets.Value("string")})
"""`load.COLUMNS`, and the name of the clip's corpus."""


def load_corpora(
    data: list[str], final: bool = False, columns: Columns = USUAL_COLUMNS
) -> datasets.Dataset:
    """List the clips of one or several corpora, one after the other.

    A corpus need not have all classes of the others.

    Args:
        data: places, each as `load.load_corpus` takes it.
        final: use EMO-DB for training, as the final recipe does, instead of for validation.
        columns: of a CSV.

    Returns:
        Rows of `JOINED_COLUMNS`; `corpus` is the name of the folder, file or hub dataset, and
        known speakers are `corpus/speaker`.

    Raises:
        CorpusError: a corpus cannot be read, or is given twice.
    """
    places = [Path(place).expanduser() for place in data]
    resolved = [str(path.resolve()) if path.exists() else str(path) for path in places]
    if len(set(resolved)) < len(resolved):
        raise CorpusError(f"--data names a corpus twice: {' '.join(data)}")
    joined = []
    for place, name in zip(data, corpus_names(data), strict=True):
        clips = load_corpus(place, final, columns)
        added = {
            "speaker": [speaker and f"{name}/{speaker}" for speaker in clips["speaker"]],
            "corpus": [name] * len(clips),
        }
        new_columns = datasets.Dataset.from_dict(
            added, features=datasets.Features({key: datasets.Value("string") for key in added})
        )
        clips = datasets.concatenate_datasets(
            [clips.remove_columns("speaker"), new_columns], axis=1
        )
        joined.append(clips.select_columns(list(JOINED_COLUMNS)))
    return datasets.concatenate_datasets(joined)


def corpus_names(data: list[str]) -> list[str]:
    """Name of each corpus; the second of the same name is numbered, as in `recordings-2`."""
    names: list[str] = []
    for place in data:
        name, count = public_name(place), 1
        while (name if count == 1 else f"{name}-{count}") in names:
            count += 1
        names.append(name if count == 1 else f"{name}-{count}")
    return names
