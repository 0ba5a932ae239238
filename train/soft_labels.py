"""Soft labels: what fine-tuned models think of the training clips, for another to learn from.

A class's probabilities beside the label tell which emotions a clip is near to (Hinton et al. 2015,
"Distilling the knowledge in a neural network"). This writes the mean of one or several models':

    python train/soft_labels.py runs/teacher1 runs/teacher2 --data ../shared/crema-d \
        --output runs/soft_labels.csv
    python train/finetune.py train/recipes/crema_d_compact.yaml --soft_labels runs/soft_labels.csv

Models are sure of the clips that they were trained on; a `--temperature` above 1 evens that out.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
from collections import Counter
from pathlib import Path, PurePath
from typing import Any

import emo_listen  # noqa: F401  First, since it turns telemetry off.

# isort: split
import datasets
import numpy as np
import torch
from transformers import AutoFeatureExtractor, AutoModelForAudioClassification

from emo_listen.decoding.suffixes import SOUND_SUFFIXES
from emo_listen.errors import CorpusError, EmoListenError, ModelError
from train.corpus.audio_cache import add_cache_dir, decode_corpus, print_faults
from train.corpus.clip_table import add_columns, columns_of
from train.corpus.load import load_corpus
from train.corpus.long_recordings import cut_long, logits_by_recording
from train.corpus.splits import leave_out_ambiguous, split_corpus
from train.evaluation.scoring import logits_of_clips
from train.trainer.clips import Clips

NAME_COLUMN = "name"

SUM_TOLERANCE = 0.01
"""By how much a row's probabilities may miss 1, for figures that were rounded."""


def clip_keys(names: list[str]) -> list[str]:
    """Names of clips wherever their corpus lies: without common folders and sound files' suffixes.

    Args:
        names: of the clips of one split, as `load.load_corpus` gives them.

    Raises:
        CorpusError: two clips have one key.
    """
    paths = [PurePath(name) for name in names]
    common = len(PurePath(os.path.commonpath([path.parent for path in paths])).parts)
    keys = []
    for path in paths:
        known = path.suffix.casefold() in SOUND_SUFFIXES
        keys.append(PurePath(*path.parts[common:]).with_suffix("" if known else path.suffix))
    twice = [key for key, count in Counter(keys).items() if count > 1]
    if twice:
        raise CorpusError(
            f"Several clips are named {twice[0]}: soft labels need different file names."
        )
    return [key.as_posix() for key in keys]


def write_soft_labels(
    path: Path, names: list[str], label_names: list[str], probabilities: np.ndarray
) -> None:
    """Write a CSV of `name` and a column for each class.

    Args:
        path: of the CSV; its folder is made where it is missing.
        names: of the clips of one split.
        label_names: classes.
        probabilities: (n_clips, n_classes), 0 to 1.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([NAME_COLUMN, *label_names])
        for key, row in zip(clip_keys(names), probabilities, strict=True):
            writer.writerow([key, *(f"{value:.6f}" for value in row)])


def read_soft_labels(
    path: Path, names: list[str], label_names: list[str], corpora: list[str] | None = None
) -> np.ndarray:
    """Read a CSV of `name` and a column for each class.

    Args:
        path: of the CSV; its rows name clips as `clip_keys` or as the corpus does.
        names: of the clips of one split.
        label_names: classes.
        corpora: which corpus each clip is of, where several are joined; keys are made for each
            corpus on its own, as soft labels are made of one.

    Returns:
        Probabilities float32 (n_clips, n_classes), NaN for clips without a row.

    Raises:
        CorpusError: the CSV cannot be read, has other classes, values that are no probabilities
            or add up to no 1, or no row for any of the clips; or a row fits clips of two corpora.
    """
    table = read_table(path, label_names)
    keys = keys_by_corpus(names, corpora or [""] * len(names))
    counts = Counter(key for key in keys if key in table)
    if twice := [key for key, count in counts.items() if count > 1]:
        raise CorpusError(
            f"{path}: {twice[0]} is a clip of two corpora: name the clips in it as the corpus does."
        )
    found = np.full((len(names), len(label_names)), np.nan, np.float32)
    for i, (name, key) in enumerate(zip(names, keys, strict=True)):
        row = table.get(key, table.get(name))
        if row is not None:
            found[i] = row
    if np.isnan(found).all():
        raise CorpusError(
            f"{path} names none of the {len(names)} training clips, such as {keys[0]}: give soft "
            "labels of this corpus."
        )
    return found


def keys_by_corpus(names: list[str], corpora: list[str]) -> list[str]:
    """`clip_keys` of each corpus's clips; `corpora` tells which corpus each of `names` is of."""
    keys = [""] * len(names)
    for corpus in dict.fromkeys(corpora):
        of_corpus = [i for i, other in enumerate(corpora) if other == corpus]
        for i, key in zip(of_corpus, clip_keys([names[i] for i in of_corpus]), strict=True):
            keys[i] = key
    return keys


def read_table(path: Path, label_names: list[str]) -> dict[str, np.ndarray]:
    """Rows of a CSV of soft labels by their names; raises as `read_soft_labels` does."""
    table: dict[str, np.ndarray] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns = set(reader.fieldnames or ())
            if columns != {NAME_COLUMN, *label_names}:
                raise CorpusError(
                    f"{path} has the columns {', '.join(reader.fieldnames or ['(none)'])}: they "
                    f"must be {', '.join([NAME_COLUMN, *label_names])}."
                )
            for row in reader:
                place = f"{path}, line {reader.line_num}"
                table[row[NAME_COLUMN]] = probabilities_of(row, label_names, place)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CorpusError(f"The soft labels {path} cannot be read: {error}") from error
    return table


def probabilities_of(row: dict[str, str], label_names: list[str], place: str) -> np.ndarray:
    """Probabilities (n_classes,) of a CSV's row, which add up to 1."""
    try:
        values = np.array([float(row[name]) for name in label_names])
    except (TypeError, ValueError) as error:
        raise CorpusError(f"{place}: not a number for each class ({error}).") from error
    if not (values >= 0).all() or abs(values.sum() - 1) > SUM_TOLERANCE:
        raise CorpusError(
            f"{place}: the probabilities {', '.join(f'{value:g}' for value in values)} must be 0 "
            "to 1 and add up to 1."
        )
    return values / values.sum()


def load_teacher(folder: str) -> tuple[Any, Any]:
    """Load a fine-tuned classifier and its feature extractor.

    Raises:
        ModelError: it is no checkpoint that takes waveforms.
    """
    try:
        extractor = AutoFeatureExtractor.from_pretrained(folder)
        model = AutoModelForAudioClassification.from_pretrained(folder, dtype=torch.float32)
    except (OSError, ValueError) as error:
        raise ModelError(
            f"The model {folder} cannot be loaded: give a folder that finetune.py wrote. "
            f"({str(error).splitlines()[0]})"
        ) from error
    if extractor.model_input_names[0] != "input_values":
        raise ModelError(f"{folder} takes no waveforms: give a model that finetune.py made.")
    return model.eval(), extractor


def probabilities_by(
    model: Any, clips: Clips, temperature: float, device: torch.device
) -> np.ndarray:
    """Probabilities (n_recordings, n_classes) that a model gives each one alone, in float32."""
    logits = logits_of_clips(model.to(device), clips, device, "Soft labels") / temperature
    by_recording = logits_by_recording(logits.numpy(), clips.recordings)
    return torch.from_numpy(by_recording).softmax(dim=1).numpy()


def run(args: argparse.Namespace) -> None:
    """Write the mean of all models' probabilities."""
    if args.temperature <= 0:
        raise ModelError(f"--temperature {args.temperature} must be above 0.")
    device = torch.device(args.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    corpus = load_corpus(args.data, columns=columns_of(args))
    by_model: list[np.ndarray] = []
    names: list[str] = []
    label_names: list[str] = []
    for folder in args.models:
        model, extractor = load_teacher(folder)
        rows, label_names = training_clips(corpus, extractor.sampling_rate, args.cache_dir)
        label2id = model.config.label2id
        if sorted(label2id) != label_names:
            raise ModelError(
                f"{folder} knows the classes {', '.join(sorted(label2id))}, the corpus has "
                f"{', '.join(label_names)}: give models that were trained on it."
            )
        if names and names != list(rows["name"]):
            raise CorpusError("Models of different sampling rates can use different clips of it.")
        names = list(rows["name"])
        windows, recordings = cut_long(rows, extractor.sampling_rate, args.cache_dir)
        clips = Clips(windows, label2id, extractor, recordings=recordings)
        found = probabilities_by(model, clips, args.temperature, device)
        by_model.append(found[:, [label2id[name] for name in label_names]])
    write_soft_labels(args.output, names, label_names, np.mean(by_model, axis=0))
    print(f"Soft labels of {len(names)} training clips: {args.output}")


def training_clips(
    corpus: datasets.Dataset, sampling_rate: int, cache_dir: Path
) -> tuple[datasets.Dataset, list[str]]:
    """Return the clips that finetune.py trains on, and the names of all classes, sorted."""
    decoded, faults = decode_corpus(corpus, sampling_rate, cache_dir)
    print_faults(faults)
    splits, _ = leave_out_ambiguous(split_corpus(decoded))
    return splits["train"], sorted(set(decoded["label"]))


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("models", nargs="+", help="folders that finetune.py wrote")
    parser.add_argument("--data", required=True, help="corpus, as finetune.py takes it")
    add_columns(parser)
    parser.add_argument("--output", type=Path, required=True, help="CSV to write")
    parser.add_argument(
        "--temperature", type=float, default=1.0, help="of the models' softmax (default 1)"
    )
    add_cache_dir(parser)
    parser.add_argument("--device", help="cpu, cuda, ... (default: cuda where there is one)")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run from the command line; return the exit code."""
    try:
        run(parse_args(argv))
    except EmoListenError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
