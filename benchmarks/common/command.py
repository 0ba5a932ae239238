"""What the commands of all benchmarks share: options, errors, and the JSON as the last line."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from emo_listen.errors import EmoListenError
from emo_listen.model import BUNDLED_MODEL
from train.corpus.audio_cache import add_cache_dir
from train.corpus.places import BUNDLED_CHECKPOINT, find_corpus


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that name the models and the folder for pictures."""
    parser.add_argument(
        "--checkpoint",
        type=Path,
        help="PyTorch checkpoint that the model was exported from (default: the bundled model's)",
    )
    add_model(parser)


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add the option that names the model, and those that name folders."""
    parser.add_argument(
        "--model",
        type=Path,
        default=BUNDLED_MODEL,
        help="model folder that export/to_onnx.py wrote (default: the bundled model)",
    )
    add_folders(parser)


def add_folders(parser: argparse.ArgumentParser) -> None:
    """Add the options that name the folders for pictures and for decoded sound."""
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("runs/benchmarks"),
        help="folder for the pictures (default: runs/benchmarks)",
    )
    add_cache_dir(parser)


def told_command() -> str:
    """Return the command line that is being run, as one gives it in the clone."""
    return shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])


def complete(args: argparse.Namespace) -> None:
    """Fill in the bundled model's checkpoint, and a corpus that is found, where none is named."""
    unnamed = "checkpoint" in args and args.checkpoint is None
    if unnamed and args.model == BUNDLED_MODEL and BUNDLED_CHECKPOINT.is_dir():
        args.checkpoint = BUNDLED_CHECKPOINT
    if "data" in args and args.data is None:
        args.data = find_corpus()


def run_benchmark(
    parse_args: Callable[[list[str]], argparse.Namespace],
    run: Callable[[argparse.Namespace], dict[str, Any]],
) -> int:
    """Run a benchmark from the command line, print its JSON document, return the exit code."""
    args = parse_args(sys.argv[1:])
    complete(args)
    try:
        document = run(args)
    except EmoListenError as error:
        print(f"{Path(sys.argv[0]).name}: error: {error}", file=sys.stderr)
        return 2
    print(json.dumps(document))
    return 0
