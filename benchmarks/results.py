r"""Run all benchmarks and write their results to a page: `make bench`.

Each benchmark runs as a separate command. Its tables, from the JSON document
in its last line, and its plots are written to
`benchmarks/results/<machine>.md` and the folder of that name.

    python benchmarks/results.py
    python benchmarks/results.py --checkpoint runs/mine --model models/mine \
        --data recordings/

Without a corpus, speech is the bundled sample and nothing is scored. Without a
checkpoint, PyTorch is compared in HuBERT-base's shape only, and no
quantizations are compared; for the bundled model, the clone's checkpoint is
the default.
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
    serve,
    streaming,
    unseen,
)
from benchmarks.common.command import command_line, run_benchmark
from benchmarks.common.hubert_base import HUBERT_BASE
from benchmarks.common.options import (
    EMO_DB,
    add_checkpoint_and_model,
    add_data,
    add_librispeech,
    add_noise,
)
from benchmarks.common.timing import machine, machine_line, machine_warning
from benchmarks.scoring.accuracy_tables import by_backend
from emo_listen.errors import EmoListenError
from export.tables import markdown_table
from train.common.command import command_parser
from train.corpus.audio_cache import add_cache_dir
from train.corpus.crema_d import crema_d_files

FOLDER = Path(__file__).resolve().parent

NOTES = {
    "latency": f"From samples to probabilities, and speed-up. {HUBERT_BASE} is a model of its "
    "shape with random weights, timed for comparison only.",
    "accuracy": "Whole clips of the validation split.",
    "unseen": "Whole clips of EMO-DB. The bundled model was trained on EMO-DB, so these are not "
    "results of an unseen corpus; the README has results of its recipe without EMO-DB. Clips of a "
    "baseline are not scored.",
    "everyday": "Readers of LibriSpeech, validation split. No emotion is acted, so every label "
    "except `neutral` and `uncertain` is false.",
    "robustness": "Whole clips of the validation split, degraded.",
    "listening": f"Composed from clips of the validation split. {listening.TABLES_NOTE}",
    "quantization": "All created from one checkpoint, scored on whole clips of the validation "
    "split. The package uses `int8`, whose 7-bit weights are also exact on processors without "
    "VNNI. Agreement of labels and largest change of a probability are relative to fp32. The "
    "second table shows median times in ms; `1 s x 2` is a window of 1 s on 2 threads.",
    "own_recordings": "90 clips of test speakers, in three classes that the model does not have, "
    "fine-tuned from its checkpoint with `train/recipes/own_recordings.yaml`. Without fine-tuning, "
    "the probabilities of each class's emotions are summed.",
    "streaming": "CPU time of `emo_listen.listen`, without other processes. Simultaneous streams "
    "each deliver a window at the same time, to as many workers as cores. Many clips are timed in "
    "turns; the speed-up is relative to `predict` in the same round.",
    "serve": "Streams in real time to `emo-listen serve`. Latency (in ms) is from when the last "
    "sample of a label's window is due to be sent until its event comes; cores and MiB are those "
    "of the server, and `equal` streams have exactly the events of `listen`. In time: 95 % of "
    "labels come within 1 s, and nothing is lost.",
    "memory": "Each row is a separate process.",
}
"""Introduction of each section."""

TITLES = {
    "unseen": unseen.HEADING,
    "everyday": everyday.HEADING,
    "robustness": robustness.HEADING,
    "listening": listening.HEADING,
    "own_recordings": own_recordings.HEADING,
}
"""Headings that differ from the script's name."""

TRIED = (
    "one product for query, key and value, and onnxruntime's `MultiHeadAttention`: as fast at 3 s, "
    "slightly faster at 10 s, but no other runtime can read the graph",
    "opsets 14, 17, 18 and 20: no difference",
    "batches of windows in int8: the same CPU time per window, but different results, as the "
    "scales depend on the batch",
    "reusing frames of the front end between windows: its first layer normalises over the window, "
    "so each window has different frames, and the front end takes little of the time",
    "the `.ort` format: loads faster and takes less memory, but is specific to one kind of "
    "processor, and no other tool reads it",
    "disabling the memory arena or memory pattern: no less memory",
    "disabling prepacking of weights: less memory, but slower",
    "`torch.compile`: minutes to compile, little faster than plain PyTorch",
)
"""Measured without benefit."""


def parse_args(argv: list[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = command_parser(__doc__)
    add_checkpoint_and_model(parser)
    add_cache_dir(parser)
    add_data(parser)
    add_librispeech(parser)
    parser.add_argument("--emo_db", default=EMO_DB, help=f"EMO-DB (default: {EMO_DB})")
    add_noise(parser)
    parser.add_argument(
        "--output",
        type=Path,
        default=FOLDER / "results",
        help="folder for the page and the plots (default: benchmarks/results)",
    )
    parser.add_argument(
        "--rounds", type=int, default=12, help="windows to time at each length (default: 12)"
    )
    parser.add_argument("--limit", type=int, default=300, help="clips to score (default: 300)")
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Run all benchmarks, write the page, and return their JSON documents.

    Raises:
        EmoListenError: a benchmark failed; its message was printed.
    """
    info = machine()
    name = slug(info)
    plots = args.output / name
    plots.mkdir(parents=True, exist_ok=True)
    begin = time.perf_counter()
    documents = {}
    for script, options in commands(args, plots).items():
        print(f"{script}: {' '.join(options)}", flush=True)
        documents[script] = run_script(script, options)
    minutes = (time.perf_counter() - begin) / 60
    page = args.output / f"{name}.md"
    page.write_text("\n".join(page_lines(documents, info, plots, minutes)) + "\n", encoding="utf-8")
    print(f"Wrote {page}")
    return {"benchmark": "results", "machine": info, "minutes": minutes, **documents}


def commands(args: argparse.Namespace, plots: Path) -> dict[str, list[str]]:
    """Return the options of each benchmark that the given models and corpora allow."""
    models = ["--model", str(args.model), "--output", str(plots)]
    models += ["--cache_dir", str(args.cache_dir)]
    checkpoint = ["--checkpoint", str(args.checkpoint)] if args.checkpoint else []
    data = ["--data", args.data] if args.data else []
    rounds, limit = ["--rounds", str(args.rounds)], ["--limit", str(args.limit)]
    found = {"latency": [*models, *checkpoint, *data, *rounds, "--all"]}
    if data:
        found["accuracy"] = [*models, *checkpoint, *data, *limit, "--windows"]
    found |= voice_commands(args, models)
    if data and checkpoint:
        found["quantization"] = [*checkpoint, *data, *limit, *models[2:]]
    if data and checkpoint and crema_d_files(Path(args.data)):
        found["own_recordings"] = ["--base_model", str(args.checkpoint), *data, *models[2:]]
    found["streaming"] = [*models, *data]
    found["serve"] = [*models, *data]
    found["memory"] = [*models[:2], *checkpoint]
    return found


def voice_commands(args: argparse.Namespace, models: list[str]) -> dict[str, list[str]]:
    """Return the options of benchmarks on other corpora, where those exist."""
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
    """Run `benchmarks/<script>.py` and return the JSON document in its last line.

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
    result: dict[str, Any] = json.loads(document)
    return result


def page_lines(
    documents: dict[str, Any], info: dict[str, Any], plots: Path, minutes: float
) -> list[str]:
    """Return the page's lines of Markdown."""
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
            streaming.clips_table(found["clips"]),
        ],
        "serve": lambda found: [serve.load_table(found["loads"])],
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
        "serve": ["serve.png"],
    }
    lines = [
        f"# Benchmarks on {info['processor']}, {info['cores']} cores",
        "",
        f"{machine_line(info)}. Measured in {minutes:.0f} minutes with",
        "",
        "```",
        command_line(),
        "```",
    ]
    if warning := machine_warning(info):
        lines += ["", warning]
    for script, document in documents.items():
        lines += ["", TITLES.get(script, f"## {script.capitalize()}"), "", NOTES[script]]
        for table in tables[script](document):
            lines += ["", *markdown_table(table)]
        if script == "streaming":
            lines += ["", streaming.real_time_line(document["many"])]
        if script == "serve":
            lines += ["", *(f"- {line}" for line in serve.summary(document))]
        if script == "own_recordings":
            lines += ["", own_recordings.cost_line(document["gmac_a_clip"])]
        for plot in shown.get(script, []):
            lines += ["", f"![]({plots.name}/{plot})"]
    return [*lines, "", "## Tried without benefit", "", *(f"- {line}" for line in TRIED)]


def slug(info: dict[str, Any]) -> str:
    """Return a file name for the machine."""
    return re.sub(r"[^a-z0-9]+", "-", f"{info['processor']}-{info['cores']}-cores".lower())


if __name__ == "__main__":
    sys.exit(run_benchmark(parse_args, run))
