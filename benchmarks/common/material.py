"""What several benchmarks measure with: where it lies, and how it is loaded."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.common.degradations import Samples
from benchmarks.common.noises import load_noises
from train.corpus.esc_10 import TEST_FOLDS
from train.corpus.places import DATA_HELP
from train.corpus.recordings import load_clips
from train.corpus.splits import SPLITS

LIBRISPEECH = "../shared/librispeech"
EMO_DB = "../shared/emo-db"
ESC_10 = Path("../shared/esc-10")


def add_data(parser: argparse.ArgumentParser) -> None:
    """Add the option that names the corpus of emotions."""
    parser.add_argument("--data", help=f"corpus, as train/finetune.py takes it ({DATA_HELP})")


def add_librispeech(parser: argparse.ArgumentParser) -> None:
    """Add the option that names the corpus of plain speech."""
    parser.add_argument(
        "--librispeech",
        default=LIBRISPEECH,
        help=f"LibriSpeech, or another corpus of plain speech (default: {LIBRISPEECH})",
    )


def add_noise(parser: argparse.ArgumentParser) -> None:
    """Add the option that names the noise."""
    parser.add_argument(
        "--noise",
        type=Path,
        default=ESC_10,
        help=f"folder of ESC-10's recordings (default: {ESC_10})",
    )


def add_split(parser: argparse.ArgumentParser) -> None:
    """Add the option that names the split."""
    parser.add_argument(
        "--split",
        choices=SPLITS,
        default="validation",
        help="split of each corpus (default: validation; test is for final figures)",
    )


def add_baseline(parser: argparse.ArgumentParser) -> None:
    """Add the option that says what a stream is judged relative to."""
    parser.add_argument(
        "--baseline",
        choices=("auto", "off"),
        default="auto",
        help="judge each stream relative to its own running baseline (auto, the default), or to "
        "the population's (off)",
    )


def noise_recordings(folder: Path, rate: int) -> list[Samples]:
    """Read the noise that training does not hear, at `rate` Hz.

    Raises:
        CorpusError: there is none.
    """
    return [noise.samples for noise in load_noises(folder, rate) if noise.fold in TEST_FOLDS]


def plain_recordings(data: str, split: str, rate: int, cache_dir: Path) -> list[Samples]:
    """Read plain speech of one split, at `rate` Hz, of which babble is made.

    Raises:
        CorpusError: no such corpus or split.
    """
    return [clip.samples for clip in load_clips(data, split, rate, cache_dir=cache_dir)]
