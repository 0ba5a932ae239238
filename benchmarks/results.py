"""Run all benchmarks and write what they found to a page: `make bench`.

Each benchmark is run as its own command; its tables, taken from the JSON document that it ends
with, and its pictures go to `benchmarks/results/<machine>.md` and the folder of that name.

    python benchmarks/results.py
    python benchmarks/results.py --checkpoint runs/mine --model models/mine --data recordings/

Without a corpus speech is the package's sample and nothing is scored; without a checkpoint, as of
another model than the bundled one, there is no PyTorch to compare with, but for HuBERT-base's
shape, and no quantization.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import emo_listen  # noqa: F401  First, since it turns telemetry off.

# isort: split
from benchmarks import (
    everyday,
    latency,
    listening,
    memory,
    own_recordings,
    quantization,
    robustness,
    streaming,
    unseen,
)
from benchmarks.common.command import add_arguments, run_benchmark, told_command
from benchmarks.common.hubert_base import HUBERT_BASE
from benchmarks.common.material import EMO_DB, add_librispeech, add_noise
from benchmarks.common.timing import machine, machine_line, machine_warning
from benchmarks.scoring.accuracy_tables import by_backend, markdown
from emo_listen.errors import EmoListenError
from train.corpus.crema_d import crema_d_files
from train.corpus.places import DATA_HELP

FOLDER = Path(__file__).resolve().parent

NOTES = {
    "latency": f"From sound to probabilities. {HUBERT_BASE} is its shape with random weights: "
    "its rows are of latency alone, and no accuracy is told of it.",
    "accuracy": "Whole clips of validation speakers, each alone.",
    "unseen": "Whole clips of EMO-DB. The bundled model was trained on them, so that its figures "
    "are of nothing unseen: the README has those of its recipe without them. Baselines are of "
    "clips that are not scored.",
    "everyday": "Readers of LibriSpeech, validation: no emotion is acted, so that every label but "
    "`neutral` and `uncertain` is false.",
    "robustness": "Whole clips of validation speakers, degraded.",
    "listening": "Conversations composed of validation clips: first five turns of six emotional, "
    "then as conversations are, mostly ordinary speech. Delays are the 95th percentile.",
    "quantization": "All made from one checkpoint, scored on whole clips of validation speakers. "
    "`int8` is what the package runs; it is right on processors without VNNI too, as its weights "
    "have 7 bits. Change is the largest of a probability, against fp32; then median times in ms, "
    "`1 s x 2` being 1 s of sound on 2 threads.",
    "own_recordings": "90 clips of test speakers with three classes that are none of the model's, "
    "learned by `train/recipes/own_recordings.yaml` from its checkpoint. Untrained it is told by "
    "the "
    "emotions that each class is made of.",
    "streaming": "CPU time of `emo_listen.listen`, which does not count what other processes do. "
    "Many streams: each brings a window at the same instant, on as many workers as cores.",
    "memory": "Each a process of its own.",
}
"""What to know before reading each table."""

TITLES = {
    "unseen": unseen.HEADING,
    "everyday": everyday.HEADING,
    "robustness": robustness.HEADING,
    "listening": listening.HEADING,
    "own_recordings": own_recordings.HEADING,
}
"""Headings, where the script's name is none."""

TRIED = (
    "one product for query, key and value, and onnxruntime's `MultiHeadAttention`: as fast at 3 s, "
    "a little faster at 10 s, and no other runtime could read the graph",
    "opsets 14, 17, 18 and 20: no difference",
    "int8 of more windows in one call: the same CPU time for each, and other answers, as the "
    "scales are then the batch's",
    "keeping frames of the front end from window to window: its first layer normalises over the "
    "window, so that each window has other frames, and it is a small part of the time",
    "the `.ort` format: loads sooner and takes less memory, but is made for one kind of "
    "processor, and no other tool reads it",
    "no memory arena, no memory pattern: no less memory",
    "no prepacking of weights: less memory, but slower",
    "`torch.compile`: minutes to compile, little faster than PyTorch without",
)
"""What was measured and did not pay."""


def parse_args(argv: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_arguments(parser)
    parser.add_argument("--data", help=f"corpus ({DATA_HELP}, else nothing is scored)")
    add_librispeech(parser)
    parser.add_argument("--emo_db", default=EMO_DB, help=f"EMO-DB (default: {EMO_DB})")
    add_noise(parser)
    parser.set_defaults(output=FOLDER / "results")
    parser.add_argument(
        "--rounds", type=int, default=12, help="windows timed at each length (default: 12)"
    )
    parser.add_argument(
        "--limit", type=int, default=300, help="clips that are scored (default: 300)"
    )
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Run all benchmarks, write the page, and return all of their JSON documents.

    Raises:
        EmoListenError: a benchmark failed; its message was printed.
    """
    told = machine()
    name = slug(told)
    pictures = args.output / name
    pictures.mkdir(parents=True, exist_ok=True)
    begin = time.perf_counter()
    documents = {}
    for script, options in commands(args, pictures).items():
        print(f"{script}: {' '.join(options)}", flush=True)
        documents[script] = run_script(script, options)
    minutes = (time.perf_counter() - begin) / 60
    page = args.output / f"{name}.md"
    page.write_text(
        "\n".join(page_lines(documents, told, pictures, minutes)) + "\n", encoding="utf-8"
    )
    print(f"Wrote {page}")
    return {"benchmark": "results", "machine": told, "minutes": minutes, **documents}


def commands(args: argparse.Namespace, pictures: Path) -> dict[str, list[str]]:
    """Options of each benchmark that can be run with what was given."""
    models = ["--model", str(args.model), "--output", str(pictures)]
    models += ["--cache_dir", str(args.cache_dir)]
    checkpoint = ["--checkpoint", str(args.checkpoint)] if args.checkpoint else []
    data = ["--data", args.data] if args.data else []
    rounds, limit = ["--rounds", str(args.rounds)], ["--limit", str(args.limit)]
    found = {"latency": [*models, *checkpoint, *data, *rounds, "--all"]}
    if data:
        found["accuracy"] = [*models, *checkpoint, *data, *limit, "--windows"]
    found |= of_voices(args, models)
    if data and checkpoint:
        found["quantization"] = [*checkpoint, *data, *limit, *models[2:]]
    if data and checkpoint and crema_d_files(Path(args.data)):
        found["own_recordings"] = ["--base_model", str(args.checkpoint), *data, *models[2:]]
    found["streaming"] = [*models, *data]
    found["memory"] = [*models, *checkpoint]
    return found


def of_voices(args: argparse.Namespace, models: list[str]) -> dict[str, list[str]]:
    """Options of the benchmarks of ordinary and unknown voices whose corpora are there."""
    plain = ["--librispeech", args.librispeech, "--noise", str(args.noise)]
    found = {}
    if Path(args.emo_db).is_dir():
        found["unseen"] = [*models, "--data", args.emo_db]
    if Path(args.librispeech).is_dir() and args.noise.is_dir():
        found["everyday"] = [*models, *plain]
        if args.data:
            found["robustness"] = [*models, *plain, "--data", args.data, "--limit", str(args.limit)]
            found["listening"] = [*models, *plain, "--data", args.data]
    return found


def run_script(script: str, options: list[str]) -> dict[str, Any]:
    """Run `benchmarks/<script>.py`, and return the JSON document that is its last line.

    Raises:
        EmoListenError: it failed.
    """
    done = subprocess.run(
        [sys.executable, str(FOLDER / f"{script}.py"), *options], stdout=subprocess.PIPE, text=True
    )
    if done.returncode:
        raise EmoListenError(f"{script}.py failed; its message is above")
    *lines, document = done.stdout.splitlines()
    print("\n".join(lines), flush=True)
    return json.loads(document)


def page_lines(
    documents: dict[str, Any], told: dict[str, Any], pictures: Path, minutes: float
) -> list[str]:
    """Lines of Markdown of the page."""
    tables: dict[str, Callable[[dict[str, Any]], list[list[list[str]]]]] = {
        "latency": lambda found: [latency.table(found["results"])],
        "accuracy": lambda found: [by_backend(found["backends"])],
        "unseen": lambda found: [unseen.table(found["results"])],
        "everyday": lambda found: [everyday.table(found["results"])],
        "robustness": lambda found: [robustness.table(found["results"])],
        "listening": lambda found: [
            listening.conversation_table(found["results"]),
            listening.ordinary_table(found["ordinary"]),
        ],
        "quantization": lambda found: [
            quantization.score_table(found["results"]),
            quantization.time_table(found["results"]),
        ],
        "own_recordings": lambda found: [own_recordings.table(found["results"])],
        "streaming": lambda found: [
            streaming.cost_table(found["cost"]),
            streaming.many_table(found["many"]),
        ],
        "memory": lambda found: [memory.table(found["results"])],
    }
    shown = {
        "latency": ["latency.png"],
        "unseen": ["unseen.png"],
        "everyday": ["everyday.png"],
        "robustness": ["robustness.png", "robustness_curves.png"],
        "listening": ["listening.png", "ordinary.png"],
        "quantization": ["accuracy_latency.png"],
        "own_recordings": ["own_recordings.png"],
        "streaming": ["stream_cost.png"],
    }
    lines = [
        f"# Benchmarks on {told['processor']}, {told['cores']} cores",
        "",
        f"{machine_line(told)}. Taken in {minutes:.0f} minutes by",
        "",
        "```",
        told_command(),
        "```",
    ]
    if warning := machine_warning(told):
        lines += ["", warning]
    for script, document in documents.items():
        lines += ["", TITLES.get(script, f"## {script.capitalize()}"), "", NOTES[script]]
        for table in tables[script](document):
            lines += ["", *markdown(table)]
        if script == "streaming":
            lines += ["", streaming.keep_up_line(document["many"])]
        if script == "own_recordings":
            lines += ["", own_recordings.cost_line(document["gmac_a_clip"])]
        for picture in shown.get(script, []):
            lines += ["", f"![]({pictures.name}/{picture})"]
    return [*lines, "", "## Tried, and did not pay", "", *(f"- {line}" for line in TRIED)]


def slug(told: dict[str, Any]) -> str:
    """Name of the machine that a file may have."""
    return re.sub(r"[^a-z0-9]+", "-", f"{told['processor']}-{told['cores']}-cores".lower())


if __name__ == "__main__":
    sys.exit(run_benchmark(parse_args, run))
