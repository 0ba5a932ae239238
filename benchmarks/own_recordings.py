"""Measure fine-tuning the bundled checkpoint on own recordings: accuracy and time.

CREMA-D's test actors, whom the bundled model was not trained on, represent own
recordings: 90 clips of three new classes. In folds by speaker,
`train/finetune.py train/recipes/own_recordings.yaml` trains on some speakers,
chooses its epoch on others, and is scored on the rest. It is compared with:

- the bundled model without training, summing the probabilities of each class's
  emotions, which is possible only because these classes consist of its own.
- chance.
- HuBERT-base with its recipe, `train/recipes/crema_d.yaml`, as an estimate:
  the measured training time, times the ratio of multiply-accumulates. Both are
  counted from the configs, for the same epochs.

    pip install -e ".[train,export]"
    python benchmarks/own_recordings.py
    python benchmarks/own_recordings.py --split validation --recipe mine.yaml

Choose recipes on `--split validation`, not on the test actors. Intervals are
95 % bootstrap intervals over speakers. The last line is one JSON document.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import emo_listen  # noqa: F401  First, since it turns telemetry off.

# isort: split
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm
from transformers import HubertConfig

from benchmarks.common.command import run_benchmark
from benchmarks.common.hubert_base import HUBERT_BASE
from benchmarks.common.options import add_data, add_folders, add_split
from benchmarks.common.own_clips import (
    CLASSES,
    EMOTIONS,
    choose_clips,
    speaker_folds,
    write_clips,
    write_training_table,
)
from benchmarks.common.timing import machine, print_machine
from benchmarks.common.training_cost import training_cost
from benchmarks.plots.own_recordings import plot_own_recordings
from benchmarks.scoring.accuracy_tables import cell, name_of
from benchmarks.scoring.figures import INTERVAL, figures, speaker_interval
from emo_listen.errors import ModelError
from export.checkpoint import PyTorchModel
from export.tables import print_table
from train.common.command import command_parser
from train.corpus.places import CLONE, need_corpus
from train.corpus.recordings import Clip, check_labels, load_clips
from train.evaluation.calibration import Answers
from train.trainer.base_model import BUNDLED, choose_base_model
from train.trainer.finetune_options import parse_args as read_options

RECIPE = CLONE / "train" / "recipes" / "own_recordings.yaml"

HUBERT_BASE_RECIPE = CLONE / "train" / "recipes" / "crema_d.yaml"

SHOWN = ("accuracy", INTERVAL, "uar", "uar_95", "fold_s")
"""Figures of the table."""

HEADING = "## Own recordings"
"""Heading of the section in the results."""


def parse_args(argv: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_parser(__doc__)
    add_data(parser)
    add_split(parser, default="test")
    parser.add_argument("--clips", type=int, default=90, help="number of clips (default: 90)")
    parser.add_argument("--folds", type=int, default=5, help="number of folds (default: 5)")
    parser.add_argument(
        "--seed", type=int, default=0, help="random seed for clips and folds (default: 0)"
    )
    parser.add_argument(
        "--recipe",
        type=Path,
        default=RECIPE,
        help="recipe for train/finetune.py (default: train/recipes/own_recordings.yaml)",
    )
    parser.add_argument(
        "--base_model",
        default=BUNDLED,
        help=f"checkpoint to start from (default: {BUNDLED}, the bundled model's)",
    )
    add_folders(parser)
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Train and score each fold, print the table, draw the plot, and return the JSON document.

    Raises:
        CorpusError: no such corpus or split, or too few clips or speakers in it.
        ModelError: the base model cannot be loaded, or a training failed.
    """
    info = machine()
    data = need_corpus(args.data)
    base_folder = Path(choose_base_model(args.base_model))
    base = PyTorchModel.load(base_folder)
    rate = base.sampling_rate
    corpus = load_clips(data, args.split, rate, cache_dir=args.cache_dir)
    clips = choose_clips(corpus, args.clips, args.seed)
    check_labels([clip for clip in corpus if clip.label in EMOTIONS], base.labels)
    folds = speaker_folds(clips, args.folds, args.seed)
    of_emotions = predict(base, clips)
    groups = [[base.labels.index(emotion) for emotion in CLASSES[name]] for name in CLASSES]
    summed = np.stack([of_emotions[:, group].sum(axis=1) for group in groups], axis=1)
    fine_tuned, trained = np.zeros_like(summed), []
    with tempfile.TemporaryDirectory() as workspace:
        files = write_clips(clips, rate, Path(workspace))
        for number, test in enumerate(tqdm(folds, "training", unit="fold")):
            folder = Path(workspace) / f"fold-{number}"
            folder.mkdir()
            train = [i for i in range(len(clips)) if i not in test]
            table_file = folder / "clips.csv"
            write_training_table([clips[i] for i in train], [files[i] for i in train], table_file)
            fold = fine_tune(args.recipe, args.base_model, table_file, folder)
            fine_tuned[test] = predict(PyTorchModel.load(folder / "run"), [clips[i] for i in test])
            right = fine_tuned[test].argmax(axis=1) == classes_of(clips)[test]
            trained.append({"clips": len(test), **fold, "accuracy": float(right.mean())})
    costs = compare_costs(args.recipe, base_folder, clips, rate)
    extra = costs["hubert_base"] / costs["own"] - 1
    seconds = float(np.median([fold["seconds"] for fold in trained]))
    estimate = float(np.median([f["seconds"] + f["training_s"] * extra for f in trained]))
    chance = 1 / len(CLASSES)
    rows: list[dict[str, Any]] = [
        {"model": "fine-tuned", **scores(fine_tuned, clips), "fold_s": seconds},
        {"model": "not fine-tuned, summed", **scores(summed, clips)},
        {"model": "chance", "accuracy": chance, "uar": chance},
        {"model": f"{HUBERT_BASE}, estimate", "fold_s": estimate},
    ]
    plot_own_recordings(rows, args.output / "own_recordings.png")
    print_machine(info)
    n_speakers = len({clip.speaker for clip in clips})
    print_table(
        f"{len(clips)} clips of {n_speakers} speakers ({Path(data).name}, {args.split} split), "
        f"{args.folds} folds by speaker",
        table(rows),
    )
    print(cost_line(costs))
    return {
        "benchmark": "own_recordings",
        "model": base_folder.name,
        "recipe": args.recipe.name,
        "data": Path(data).name,
        "split": args.split,
        "seed": args.seed,
        "clips": len(clips),
        "speakers": n_speakers,
        "classes": CLASSES,
        "machine": info,
        "folds": trained,
        "gmac_a_clip": costs,
        "results": rows,
    }


def fine_tune(recipe: Path, base_model: str, table_file: Path, folder: Path) -> dict[str, float]:
    """Run `train/finetune.py` on the CPU, writing to `folder/run`, with an empty cache.

    Returns:
        `seconds` of the command, and `training_s`, the part spent on training.

    Raises:
        ModelError: it failed.
    """
    command = [sys.executable, str(CLONE / "train" / "finetune.py"), str(recipe)]
    command += ["--data", str(table_file), "--base_model", base_model, "--use_cpu", "true"]
    command += ["--output_dir", str(folder / "run"), "--cache_dir", str(folder / "cache")]
    command += ["--test_at_end", "false", "--disable_tqdm", "true"]
    begin = time.perf_counter()
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    seconds = time.perf_counter() - begin
    if done.returncode:
        raise ModelError(f"train/finetune.py failed: {done.stdout.strip().splitlines()[-1]}")
    state = json.loads((folder / "run" / "trainer_state.json").read_text(encoding="utf-8"))
    return {"seconds": seconds, "training_s": state["log_history"][-1]["train_runtime"]}


def predict(model: PyTorchModel, clips: Sequence[Clip]) -> NDArray[np.float64]:
    """Probabilities `(n_clips, n_classes)` of whole clips."""
    return np.stack([model.mean_probabilities(clip.samples) for clip in clips])


def classes_of(clips: Sequence[Clip]) -> NDArray[np.int64]:
    """Index of each clip's class in `CLASSES`, `(n_clips,)`."""
    return np.array([list(CLASSES).index(clip.label) for clip in clips])


def scores(probabilities: NDArray[np.float64], clips: Sequence[Clip]) -> dict[str, Any]:
    """Accuracy and UAR (0 to 1) of probabilities `(n_clips, n_classes)`, with their intervals."""
    speakers = [clip.speaker for clip in clips]
    answers = Answers(np.log(probabilities), classes_of(clips), speakers)
    found = figures(answers, list(CLASSES), 0.0)
    found["uar_95"] = speaker_interval(answers, uar=True)
    return {key: found[key] for key in SHOWN if key in found}


def compare_costs(
    recipe: Path, base_folder: Path, clips: Sequence[Clip], rate: int
) -> dict[str, float]:
    """Count training on one clip of average length, with `recipe` and with HuBERT-base's.

    Returns:
        `epochs` of `recipe`, and billions of multiply-accumulates for them: `own`; `hubert_base`,
        running frozen layers once; `hubert_base_from_sound`, running them in each epoch.
    """
    seconds = float(np.mean([len(clip.samples) for clip in clips])) / rate
    own, args = read_options([str(recipe), "--data", "-"])
    theirs, _ = read_options([str(HUBERT_BASE_RECIPE)])
    epochs = args.num_train_epochs
    ours = training_cost(HubertConfig.from_pretrained(base_folder), own, seconds)
    base = training_cost(HubertConfig(), theirs, seconds)
    return {
        "epochs": epochs,
        "own": ours.of_epochs(epochs) / 1e9,
        "hubert_base": base.of_epochs(epochs) / 1e9,
        "hubert_base_from_sound": base.of_epochs(1) * epochs / 1e9,
    }


def cost_line(costs: dict[str, float]) -> str:
    """Format the result of `compare_costs` as one line."""
    return (
        f"Training on a clip for {costs['epochs']:g} epochs takes {costs['own']:.0f} billion "
        f"multiply-accumulates; {HUBERT_BASE}'s recipe takes {costs['hubert_base']:.0f}, or "
        f"{costs['hubert_base_from_sound']:.0f} if its frozen layers are run in each epoch."
    )


def table(rows: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Heading and rows: a row for each model."""
    names = {"uar_95": "95 % interval", "fold_s": "seconds per fold"}
    lines = [["model", *(names.get(key) or name_of(key) for key in SHOWN)]]
    for row in rows:
        cells = [cell(key, row.get(key)) for key in SHOWN[:-1]]
        seconds = f"{row['fold_s']:.0f}" if "fold_s" in row else "-"
        lines.append([row["model"], *cells, seconds])
    return lines


if __name__ == "__main__":
    sys.exit(run_benchmark(parse_args, run))
