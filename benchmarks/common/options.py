"""Command-line options that several benchmarks share."""

from __future__ import annotations

import argparse
from pathlib import Path

from emo_listen.model import BUNDLED_MODEL
from train.corpus.audio_cache import add_cache_dir
from train.corpus.places import DATA_HELP, corpus_folder
from train.corpus.splits import SPLITS

LIBRISPEECH = corpus_folder("librispeech")
EMO_DB = corpus_folder("emo-db")
ESC_10 = Path(corpus_folder("esc-10"))


def add_checkpoint_and_model(parser: argparse.ArgumentParser) -> None:
    """Add the options for the checkpoint and the model."""
    parser.add_argument(
        "--checkpoint",
        type=Path,
        help="PyTorch checkpoint that the model was exported from (default: the bundled model's)",
    )
    add_model(parser)


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add the option for the model."""
    parser.add_argument(
        "--model",
        type=Path,
        default=BUNDLED_MODEL,
        help="model folder written by export/to_onnx.py (default: the bundled model)",
    )


def add_folders(parser: argparse.ArgumentParser) -> None:
    """Add the options for the folders of plots and decoded audio."""
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("runs/benchmarks"),
        help="folder for the plots (default: runs/benchmarks)",
    )
    add_cache_dir(parser)


def add_data(parser: argparse.ArgumentParser) -> None:
    """Add the option for the corpus of emotions."""
    parser.add_argument("--data", help=f"corpus, as for train/finetune.py ({DATA_HELP})")


def add_timed_speech(parser: argparse.ArgumentParser) -> None:
    """Add the option for the corpus whose speech is timed."""
    parser.add_argument(
        "--data", help=f"corpus to take speech from ({DATA_HELP}, else the bundled sample)"
    )


def add_librispeech(parser: argparse.ArgumentParser) -> None:
    """Add the option for the corpus of ordinary speech."""
    parser.add_argument(
        "--librispeech",
        default=LIBRISPEECH,
        help=f"LibriSpeech, or another corpus of ordinary speech (default: {LIBRISPEECH})",
    )


def add_noise(parser: argparse.ArgumentParser) -> None:
    """Add the option for the noise recordings."""
    parser.add_argument(
        "--noise",
        type=Path,
        default=ESC_10,
        help=f"folder of ESC-10's recordings (default: {ESC_10})",
    )


def add_split(parser: argparse.ArgumentParser, default: str = "validation") -> None:
    """Add the option for the split."""
    parser.add_argument(
        "--split",
        choices=SPLITS,
        default=default,
        help=f"split of each corpus (default: {default}); choose on validation, and use test for "
        "final results only",
    )


def add_limit(parser: argparse.ArgumentParser) -> None:
    """Add the option for the number of clips."""
    parser.add_argument(
        "--limit", type=int, help="score about this many clips, equally many of each class"
    )


def add_threads(parser: argparse.ArgumentParser) -> None:
    """Add the option for the numbers of threads."""
    parser.add_argument(
        "--threads", type=int, nargs="+", default=[1, 2], help="CPU threads (default: 1 2)"
    )


def add_timed_windows(parser: argparse.ArgumentParser, rounds: int) -> None:
    """Add the options for the windows that are timed, by default `rounds` of each length."""
    parser.add_argument(
        "--windows",
        type=float,
        nargs="+",
        default=[1.0, 3.0, 5.0],
        metavar="SECONDS",
        help="window lengths in seconds (default: 1 3 5)",
    )
    parser.add_argument(
        "--rounds",
        type=int,
        default=rounds,
        help=f"windows timed at each length (default: {rounds})",
    )


def add_baseline(parser: argparse.ArgumentParser) -> None:
    """Add the option for the baseline of streams."""
    parser.add_argument(
        "--baseline",
        choices=("auto", "off"),
        default="auto",
        help="judge each stream relative to its running baseline (auto, the default) or to the "
        "population's (off)",
    )
