"""Training, validation and test clips, without a speaker in two of them."""

from __future__ import annotations

from collections import Counter, defaultdict

import datasets
import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from emo_listen.errors import CorpusError

SPLITS = ("train", "validation", "test")

SPLIT_SEED = 0
"""Seed of the splits made here. Not `--seed`, so that runs with other seeds are comparable."""

N_FOLDS = 6
"""Folds of a split made here: four for training, one for validation, one for the test."""

MIN_TRAIN_CLIPS = 2
"""Fewest training clips of a class."""

ALL_CLASSES = "all classes"


def split_corpus(clips: datasets.Dataset) -> dict[str, datasets.Dataset]:
    """Divide clips into their named splits, or else by speaker.

    Named splits are kept; if only `train` (and `test`) is named, validation speakers are taken
    from `train`. Without any names, one sixth of the speakers each is validation and test,
    stratified by class. If speakers are unknown, clips are divided instead, with a warning. Of
    joined corpora, each one without named splits is divided separately, so that it is in every
    split.

    Args:
        clips: with the columns `label`, `speaker`, `split`, and `corpus` if several are joined.

    Returns:
        `train`, `validation` and, unless the corpus names splits without one, `test`.

    Raises:
        CorpusError: too few classes, clips or speakers; a speaker in two splits; clips with and
            without a split in one corpus.
    """
    labels = np.array(list(clips["label"]))
    if len(set(labels)) < 2:
        raise CorpusError(
            f"At least two classes are needed, found {len(set(labels))}: "
            f"{', '.join(sorted(set(labels)))}"
        )
    speakers: list[str | None] = list(clips["speaker"])
    split_of: list[str | None] = list(clips["split"])
    corpora = clips["corpus"] if "corpus" in clips.column_names else [""] * len(clips)
    for corpus in dict.fromkeys(corpora):
        rows = np.array([i for i, name in enumerate(corpora) if name == corpus])
        fill_missing_splits(split_of, rows, labels, speakers, clips["name"])
    if "validation" not in split_of:
        rows = np.array([i for i, name in enumerate(split_of) if name == "train"])
        if rows.size:
            assign(split_of, hold_out(rows, labels, speakers, N_FOLDS), "validation")
    check_speakers(split_of, speakers)
    check_counts(split_of, labels)
    without_split = clips.remove_columns("split")
    return {
        name: without_split.select([i for i, split in enumerate(split_of) if split == name])
        for name in SPLITS
        if name in split_of
    }


def fill_missing_splits(
    split_of: list[str | None],
    rows: np.ndarray,
    labels: np.ndarray,
    speakers: list[str | None],
    names: list[str],
) -> None:
    """Make the splits of one corpus in `split_of`, at `rows`, unless all its clips name one.

    Raises:
        CorpusError: some of its clips name one; too few speakers, or too few clips of a class.
    """
    unnamed = [row for row in rows if split_of[row] is None]
    if not unnamed:
        return
    if len(unnamed) < len(rows):
        raise CorpusError(
            f"Some clips name a split and others do not (such as {names[unnamed[0]]}): fill in "
            "all or none."
        )
    test = hold_out(rows, labels, speakers, N_FOLDS)
    rest = np.setdiff1d(rows, test)
    assign(split_of, rows, "train")
    assign(split_of, test, "test")
    assign(split_of, hold_out(rest, labels, speakers, N_FOLDS - 1), "validation")


def assign(split_of: list[str | None], rows: np.ndarray, name: str) -> None:
    """Write `name` into `split_of` at `rows`."""
    for row in rows:
        split_of[row] = name


def hold_out(
    rows: np.ndarray, labels: np.ndarray, speakers: list[str | None], n_folds: int
) -> np.ndarray:
    """Choose about one `n_folds`-th of `rows`: whole speakers, or clips if speakers are unknown.

    Raises:
        CorpusError: there are too few speakers, or too few clips of a class.
    """
    of_rows = [speakers[i] for i in rows]
    if None in of_rows:
        print(
            "WARNING: some clips have no speaker, so clips are split instead of speakers. The same "
            "voice can then be in training and in the test, which makes scores too high. Add a "
            "`speaker` column, or use class/speaker/clip folders."
        )
        fewest = min(Counter(labels[rows]).values())
        if fewest < 3:
            raise CorpusError(
                "A class has fewer than 3 clips, too few to train, validate and test."
            )
        folds = StratifiedKFold(min(n_folds, fewest), shuffle=True, random_state=SPLIT_SEED)
        return rows[next(folds.split(rows, labels[rows]))[1]]
    n_speakers = len(set(of_rows))
    if n_speakers < 2:
        raise CorpusError(
            "Too few speakers to split by speaker: at least three are needed, or a `split` for "
            "each clip."
        )
    n_folds = min(n_folds, n_speakers)
    most = max(Counter(labels[rows]).values())
    if most < n_folds:
        raise CorpusError(
            f"No class has more than {most} clip(s), too few to split by speaker into {n_folds} "
            "parts. Record more, or set a `split` for each clip."
        )
    grouped = StratifiedGroupKFold(n_folds, shuffle=True, random_state=SPLIT_SEED)
    return rows[next(grouped.split(rows, labels[rows], groups=of_rows))[1]]


def check_speakers(split_of: list[str | None], speakers: list[str | None]) -> None:
    """Refuse a known speaker in two splits.

    Raises:
        CorpusError: naming the speakers.
    """
    found: dict[str, set[str | None]] = defaultdict(set)
    for split, speaker in zip(split_of, speakers, strict=True):
        if speaker is not None:
            found[speaker].add(split)
    leaks = sorted(speaker for speaker, where in found.items() if len(where) > 1)
    if leaks:
        raise CorpusError(
            f"{len(leaks)} speaker(s) are in two splits, which makes scores too high: "
            f"{', '.join(leaks[:10])}. Put each speaker into one split."
        )


def check_counts(split_of: list[str | None], labels: np.ndarray) -> None:
    """Refuse splits with too few clips to train or validate.

    Raises:
        CorpusError: no training or validation clips, or a class with too few of them.
    """
    counts = Counter(zip(split_of, labels, strict=True))
    for split in ("train", "validation"):
        if split not in split_of:
            raise CorpusError(f"There are no {split} clips.")
    for label in sorted(set(labels)):
        if counts["train", label] < MIN_TRAIN_CLIPS:
            raise CorpusError(
                f"Class {str(label)!r} has {counts['train', label]} training clip(s); at least "
                f"{MIN_TRAIN_CLIPS} are needed."
            )


def drop_ambiguous(
    splits: dict[str, datasets.Dataset],
) -> tuple[dict[str, datasets.Dataset], list[str]]:
    """Drop training clips whose exact sound also has another label, or is in another split.

    Validation and test stay as they are, so that scores are comparable with published ones.

    Returns:
        The splits, and a line for each such clip, including those kept in validation and test.
    """
    uses: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
    for split, clips in splits.items():
        columns = (clips["digest"], clips["label"], clips["name"])
        for digest, label, name in zip(*columns, strict=True):
            uses[digest].append((split, label, name))
    lines: list[str] = []
    dropped = set()
    for same in uses.values():
        if len({label for _, label, _ in same}) == 1 and len({split for split, _, _ in same}) == 1:
            continue
        for split, label, name in same:
            others = ", ".join(f"{other} ({s}, {tag})" for s, tag, other in same if other != name)
            lines.append(
                f"{'Left out' if split == 'train' else 'Kept'}: {name} ({split}, {label}): "
                f"the same sound as {others}"
            )
            if split == "train":
                dropped.add(name)
    if dropped:
        lines.append(
            f"{len(dropped)} training clip(s) left out: the same sound has another label or split"
        )
    train = splits["train"]
    keep = [i for i, name in enumerate(train["name"]) if name not in dropped]
    return {**splits, "train": train.select(keep)}, lines


def print_splits(splits: dict[str, datasets.Dataset]) -> None:
    """Print clips and speakers of each split and class as a table."""
    table = Table("Clips (speakers)", box=None)
    for name in splits:
        table.add_column(name, justify="right")
    labels = sorted({label for clips in splits.values() for label in clips["label"]})
    for label in [*labels, ALL_CLASSES]:
        table.add_row(f"  {label}", *(count(clips, label) for clips in splits.values()))
    Console(highlight=False).print(table)


def count(clips: datasets.Dataset, label: str) -> str:
    """Clips of a class, or of `ALL_CLASSES`, and in parentheses their speakers, `?` if unknown."""
    pairs = zip(clips["label"], clips["speaker"], strict=True)
    of_class = [speaker for name, speaker in pairs if label in (name, ALL_CLASSES)]
    known = {speaker for speaker in of_class if speaker is not None}
    return f"{len(of_class)} ({len(known) if known or not of_class else '?'})"
