"""Learn somebody's own recordings from the bundled checkpoint: how well, and in what time.

CREMA-D's test actors, whom the bundled model never heard, stand for that: 90 clips of three classes
that are none of the model's. In folds by speaker, `train/finetune.py
train/recipes/own_recordings.yaml` learns from some speakers, chooses its epoch on others, and is
scored on those left. Beside it:

- the bundled model untrained, with the probabilities of each class's emotions summed. That can be
  done only because these classes are made of its own.
- chance.
- on paper, HuBERT-base's recipe, `train/recipes/crema_d.yaml`: the time that training takes, times
its multiply-accumulates over ours. Both are counted from the configs, for the same epochs.

    pip install -e ".[train,export]"
    python benchmarks/own_recordings.py
    python benchmarks/own_recordings.py --split validation --recipe mine.yaml

Choose nothing on the test actors: `--split validation` is for that. Intervals hold 95 % of the
scores when whole speakers are drawn again. The last line is one JSON document.
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

from benchmarks.common.command import add_folders, run_benchmark
from benchmarks.common.hubert_base import HUBERT_BASE
from benchmarks.common.material import add_data
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
from benchmarks.scoring.accuracy_tables import cell, name_of, print_table
from benchmarks.scoring.figures import INTERVAL, figures, speaker_interval
from emo_listen.errors import ModelError
from export.checkpoint import PyTorchModel
from train.corpus.long_recordings import over_windows
from train.corpus.places import CLONE, need_corpus
from train.corpus.recordings import Clip, check_labels, load_clips
from train.corpus.splits import SPLITS
from train.evaluation.calibration import Answers
from train.trainer.base_model import BUNDLED, choose_base_model
from train.trainer.finetune_options import parse_args as read_options

RECIPE = CLONE / "train" / "recipes" / "own_recordings.yaml"

HUBERT_BASE_RECIPE = CLONE / "train" / "recipes" / "crema_d.yaml"

SHOWN = ("accuracy", INTERVAL, "uar", "uar_95", "fold_s")
"""Figures of the table."""

HEADING = "## Own recordings"
"""Of its section of the page of results."""


def parse_args(argv: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_data(parser)
    parser.add_argument(
        "--split",
        choices=SPLITS,
        default="test",
        help="whose clips (default: test; validation is for choosing a recipe)",
    )
    parser.add_argument("--clips", type=int, default=90, help="number of clips (default: 90)")
    parser.add_argument("--folds", type=int, default=5, help="number of folds (default: 5)")
    parser.add_argument(
        "--seed", type=int, default=0, help="of the choice of clips and folds (default: 0)"
    )
    parser.add_argument(
        "--recipe",
        type=Path,
        default=RECIPE,
        help="options of train/finetune.py (default: train/recipes/own_recordings.yaml)",
    )
    parser.add_argument(
        "--base_model",
        default=BUNDLED,
        help=f"checkpoint to start from (default: {BUNDLED}, the clone's)",
    )
    add_folders(parser)
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Train and score each fold, print the table, draw the picture, return the JSON document.

    Raises:
        CorpusError: no such corpus or split, or too few clips or speakers in it.
        ModelError: the base model cannot be loaded, or a training failed.
    """
    told = machine()
    data = need_corpus(args.data)
    base_folder = Path(choose_base_model(args.base_model))
    base = PyTorchModel.load(base_folder)
    rate = base.sampling_rate
    found = load_clips(data, args.split, rate, cache_dir=args.cache_dir)
    clips = choose_clips(found, args.clips, args.seed)
    check_labels([clip for clip in found if clip.label in EMOTIONS], base.labels)
    folds = speaker_folds(clips, args.folds, args.seed)
    given = predict(base, clips)
    groups = [[base.labels.index(emotion) for emotion in CLASSES[name]] for name in CLASSES]
    summed = np.stack([given[:, group].sum(axis=1) for group in groups], axis=1)
    learnt, trained = np.zeros_like(summed), []
    with tempfile.TemporaryDirectory() as place:
        files = write_clips(clips, rate, Path(place))
        for number, test in enumerate(tqdm(folds, "training", unit="fold")):
            folder = Path(place) / f"fold-{number}"
            folder.mkdir()
            train = [i for i in range(len(clips)) if i not in test]
            table_file = folder / "clips.csv"
            write_training_table([clips[i] for i in train], [files[i] for i in train], table_file)
            fold = fine_tune(args.recipe, args.base_model, table_file, folder)
            learnt[test] = predict(PyTorchModel.load(folder / "run"), [clips[i] for i in test])
            right = learnt[test].argmax(axis=1) == classes_of(clips)[test]
            trained.append({"clips": len(test), **fold, "accuracy": float(right.mean())})
    costs = compare_costs(args.recipe, base_folder, clips, rate)
    more = costs["hubert_base"] / costs["own"] - 1
    seconds = float(np.median([fold["seconds"] for fold in trained]))
    on_paper = float(np.median([f["seconds"] + f["training_s"] * more for f in trained]))
    chance = 1 / len(CLASSES)
    rows: list[dict[str, Any]] = [
        {"model": "fine-tuned", **scores(learnt, clips), "fold_s": seconds},
        {"model": "untrained, summed", **scores(summed, clips)},
        {"model": "chance", "accuracy": chance, "uar": chance},
        {"model": f"{HUBERT_BASE}, on paper", "fold_s": on_paper},
    ]
    args.output.mkdir(parents=True, exist_ok=True)
    picture = args.output / "own_recordings.png"
    plot_own_recordings(rows, picture)
    print(f"Wrote {picture}")
    print_machine(told)
    n_speakers = len({clip.speaker for clip in clips})
    print_table(
        f"{len(clips)} clips of {n_speakers} speakers ({Path(data).name}, {args.split} split), "
        f"{args.folds} folds by speaker",
        table(rows),
    )
    document = {
        "benchmark": "own_recordings",
        "model": base_folder.name,
        "recipe": args.recipe.name,
        "data": Path(data).name,
        "split": args.split,
        "seed": args.seed,
        "clips": len(clips),
        "speakers": n_speakers,
        "classes": CLASSES,
        "machine": told,
        "folds": trained,
        "gmac_a_clip": costs,
        "results": rows,
    }
    print(cost_line(costs))
    return document


def fine_tune(recipe: Path, base_model: str, table_file: Path, folder: Path) -> dict[str, float]:
    """Run `train/finetune.py` on the CPU, into `folder/run`, with no cache of earlier runs.

    Returns:
        `seconds` of the command, and `training_s` of them that are the training's.

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
    """Probabilities `(n_clips, n_classes)` that a model gives to whole clips."""
    of_samples = over_windows(
        lambda samples: model.probabilities(samples, 1.0), model.sampling_rate
    )
    return np.stack([of_samples(clip.samples) for clip in clips])


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
    """Count the training of one clip of average length, by `recipe` and by HuBERT-base's.

    Returns:
        `epochs`, those of `recipe`, and billions of multiply-accumulates in them: `own`;
        `hubert_base`, whose frozen layers are run once; `hubert_base_from_sound`, each epoch.
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
    """Tell what `compare_costs` found on one line."""
    return (
        f"Training on a clip for {costs['epochs']:g} epochs takes {costs['own']:.0f} billion "
        f"multiply-accumulates; {HUBERT_BASE}'s recipe {costs['hubert_base']:.0f}, or "
        f"{costs['hubert_base_from_sound']:.0f} where its frozen layers are run in each epoch."
    )


def table(rows: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Heading and rows: a row for each model."""
    names = {"uar_95": "95 % interval", "fold_s": "seconds a fold"}
    lines = [["model", *(names.get(key) or name_of(key) for key in SHOWN)]]
    for row in rows:
        cells = [cell(key, row.get(key)) for key in SHOWN[:-1]]
        seconds = f"{row['fold_s']:.0f}" if "fold_s" in row else "-"
        lines.append([row["model"], *cells, seconds])
    return lines


if __name__ == "__main__":
    sys.exit(run_benchmark(parse_args, run))
