"""Runs a benchmark from the command line: defaults, errors, and JSON as the last line."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from emo_listen.model import BUNDLED_MODEL
from train.common.command import exits_with_code
from train.corpus.places import BUNDLED_CHECKPOINT, find_corpus


def command_line() -> str:
    """Return the current command, as it would be typed in the clone."""
    return shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])


def fill_defaults(args: argparse.Namespace) -> None:
    """Set the bundled model's checkpoint and the default corpus where none was given."""
    unset = "checkpoint" in args and args.checkpoint is None
    if unset and args.model == BUNDLED_MODEL and BUNDLED_CHECKPOINT.is_dir():
        args.checkpoint = BUNDLED_CHECKPOINT
    if "data" in args and args.data is None:
        args.data = find_corpus()


def run_benchmark(
    parse_args: Callable[[list[str]], argparse.Namespace],
    run: Callable[[argparse.Namespace], dict[str, Any]],
) -> int:
    """Run a benchmark, print its JSON document, and return the exit code."""

    @exits_with_code
    def main() -> None:
        args = parse_args(sys.argv[1:])
        fill_defaults(args)
        print(json.dumps(run(args)))

    return main()
