"""Training, validation and test clips, so that no speaker is in two of them."""

from __future__ import annotations

from collections import Counter, defaultdict

import datasets
import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from emo_listen.errors import CorpusError

SPLITS = ("train", "validation", "test")

SPLIT_SEED = 0
"""Seed of a split that we make. Not `--seed`, so that runs with other seeds are comparable."""

N_FOLDS = 6
"""Where we make the split, one fold is the test split and one validation: 4/6, 1/6, 1/6."""

MIN_TRAIN_CLIPS = 2
"""Fewest training clips of a class."""


def split_corpus(clips: datasets.Dataset) -> dict[str, datasets.Dataset]:
    """Divide clips into the splits they name, or else by speaker.

    Splits that are named are kept; where only `train` (and `test`) is named, validation speakers
    are taken from `train`. Without any names, one sixth of the speakers each is validation and
    test, stratified by class. Where speakers are unknown, clips are divided instead, and a
    warning says so.

    Args:
        clips: with the columns `label`, `speaker`, `split`.

    Returns:
        `train`, `validation` and, unless the corpus names splits without one, `test`.

    Raises:
        CorpusError: too few classes, clips or speakers; a speaker in two splits; clips without a
            split beside clips with one.
    """
    labels = np.array(list(clips["label"]))
    if len(set(labels)) < 2:
        raise CorpusError(
            f"At least two classes are needed, found {len(set(labels))}: "
            f"{', '.join(sorted(set(labels)))}"
        )
    named: list[str | None] = list(clips["split"])
    speakers: list[str | None] = list(clips["speaker"])
    split_of = list(named)
    if any(named) and not all(named):
        without = clips["name"][named.index(None)]
        raise CorpusError(
            f"Some clips name a split and others do not (such as {without}): fill in all or none."
        )
    if not any(named):
        split_of = made_splits(labels, speakers)
    elif "validation" not in named:
        rows = np.array([i for i, name in enumerate(named) if name == "train"])
        if rows.size:
            assign(split_of, hold_out(rows, labels, speakers, N_FOLDS), "validation")
    refuse_leaks(split_of, speakers)
    refuse_too_few(split_of, labels)
    without_split = clips.remove_columns("split")
    return {
        name: without_split.select([i for i, split in enumerate(split_of) if split == name])
        for name in SPLITS
        if name in split_of
    }


def made_splits(labels: np.ndarray, speakers: list[str | None]) -> list[str | None]:
    """Split of each clip where none is named: one sixth of the speakers is validation, one test.

    Raises:
        CorpusError: there are too few speakers, or too few clips of a class.
    """
    rows = np.arange(len(labels))
    test = hold_out(rows, labels, speakers, N_FOLDS)
    rest = np.setdiff1d(rows, test)
    split_of: list[str | None] = ["train"] * len(rows)
    assign(split_of, test, "test")
    assign(split_of, hold_out(rest, labels, speakers, N_FOLDS - 1), "validation")
    return split_of


def assign(split_of: list[str | None], rows: np.ndarray, name: str) -> None:
    """Write `name` into `split_of` at `rows`."""
    for row in rows:
        split_of[row] = name


def hold_out(
    rows: np.ndarray, labels: np.ndarray, speakers: list[str | None], n_folds: int
) -> np.ndarray:
    """Choose about one `n_folds`-th of `rows`, whole speakers where they are known.

    Raises:
        CorpusError: there are too few speakers, or too few clips of a class.
    """
    of_rows = [speakers[i] for i in rows]
    if None in of_rows:
        print(
            "WARNING: the corpus does not tell every clip's speaker, so the split is made by clip: "
            "a voice may be heard both in training and in the test, and the scores will flatter. "
            "Give speakers (a `speaker` column, or class/speaker/clip folders) for honest ones."
        )
        fewest = min(Counter(labels[rows]).values())
        if fewest < 3:
            raise CorpusError("A class has fewer than 3 clips: too few to train, choose and test.")
        folds = StratifiedKFold(min(n_folds, fewest), shuffle=True, random_state=SPLIT_SEED)
        return rows[next(folds.split(rows, labels[rows]))[1]]
    n_speakers = len(set(of_rows))
    if n_speakers < 2:
        raise CorpusError(
            "Too few speakers to divide by speaker: at least three are needed, or a `split` for "
            "each clip."
        )
    n_folds = min(n_folds, n_speakers)
    most = max(Counter(labels[rows]).values())
    if most < n_folds:
        raise CorpusError(
            f"No class has more than {most} clip(s): too few to divide by speaker into {n_folds} "
            "parts. Record more, or give a `split` for each clip."
        )
    grouped = StratifiedGroupKFold(n_folds, shuffle=True, random_state=SPLIT_SEED)
    return rows[next(grouped.split(rows, labels[rows], groups=of_rows))[1]]


def refuse_leaks(split_of: list[str | None], speakers: list[str | None]) -> None:
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
            f"{len(leaks)} speaker(s) are in two splits, so the scores would flatter: "
            f"{', '.join(leaks[:10])}. Put each speaker into one split."
        )


def refuse_too_few(split_of: list[str | None], labels: np.ndarray) -> None:
    """Refuse splits that cannot be trained or chosen on.

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


def leave_out_ambiguous(
    splits: dict[str, datasets.Dataset],
) -> tuple[dict[str, datasets.Dataset], list[str]]:
    """Leave out training clips whose very sound has another label, or is in another split.

    Validation and test stay as they are, so that scores compare with other people's.

    Returns:
        The splits, and a line for each such clip, those kept in validation and test too.
    """
    uses: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
    for split, clips in splits.items():
        columns = (clips["digest"], clips["label"], clips["name"])
        for digest, label, name in zip(*columns, strict=True):
            uses[digest].append((split, label, name))
    told: list[str] = []
    dropped = set()
    for same in uses.values():
        if len({label for _, label, _ in same}) == 1 and len({split for split, _, _ in same}) == 1:
            continue
        for split, label, name in same:
            others = ", ".join(f"{other} ({s}, {tag})" for s, tag, other in same if other != name)
            told.append(
                f"{'Left out' if split == 'train' else 'Kept'}: {name} ({split}, {label}): "
                f"the same sound as {others}"
            )
            if split == "train":
                dropped.add(name)
    if dropped:
        told.append(f"{len(dropped)} training clip(s) left out: the same sound has another use")
    train = splits["train"]
    keep = [i for i, name in enumerate(train["name"]) if name not in dropped]
    return {**splits, "train": train.select(keep)}, told


def print_splits(splits: dict[str, datasets.Dataset]) -> None:
    """Print clips and speakers of each split and class as a table."""
    labels = sorted({label for clips in splits.values() for label in clips["label"]})
    width = max(len(label) for label in [*labels, "all classes"])
    print("Clips (speakers)".ljust(width + 6) + "".join(name.rjust(16) for name in splits))
    for label in [*labels, "all classes"]:
        line = f"  {label}".ljust(width + 6)
        for clips in splits.values():
            pairs = zip(clips["label"], clips["speaker"], strict=True)
            of_class = [s for name, s in pairs if label in (name, "all classes")]
            known = {speaker for speaker in of_class if speaker is not None}
            told = str(len(known)) if known or not of_class else "?"
            line += f"{len(of_class)} ({told})".rjust(16)
        print(line)
