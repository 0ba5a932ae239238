r"""Export a fine-tuned checkpoint to ONNX, in fp32 and int8, and verify both.

This writes the model folder that `emo-listen --model`, Optimum's
`ORTModelForAudioClassification` and transformers.js load: the hub's layout,
with `onnx/model.onnx`, `onnx/model_quantized.onnx` and `emo_listen.json`.
Before anything is written, both graphs are compared with PyTorch on windows of
real speech. If there is a corpus, PyTorch and both graphs are scored on its
validation split. Without a checkpoint, it exports the bundled model's own and
compares the result with the bundled graphs.

    pip install -e ".[train,export]"
    python export/to_onnx.py
    python export/to_onnx.py runs/crema-d --output models/crema-d --data data/crema-d
    emo-listen --model models/crema-d --device talk.flac

The exit code is 2 if the fp32 graph differs from the checkpoint (nothing is
written), and if int8 loses too much accuracy (only fp32 is written).
"""

from __future__ import annotations

import argparse
import logging
import os
import shlex
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import emo_listen  # noqa: F401  First, since it turns telemetry off.

# isort: split
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm
from transformers.utils import logging as transformers_logging

from emo_listen import EmotionModel
from emo_listen.errors import ModelError
from emo_listen.model import BUNDLED_MODEL
from emo_listen.model_folder.network import FP32, INT8
from emo_listen.model_settings import ModelSettings, file_sha256
from export.against_bundled import against_bundled
from export.checkpoint import NEEDED_FILES, PyTorchModel
from export.graph import OPSET, export_fp32
from export.onnx_card import extend_model_card
from export.parity import compare, print_parity
from export.precision_scores import (
    AccuracyDropError,
    accuracy_drop,
    labeller_of,
    score_labels,
    score_rows,
)
from export.quantize_int8 import SUMMARY, quantize_int8
from export.sensitivity import SENSITIVE, sensitive_products
from export.speech import sample_inputs
from export.tables import print_table
from train.backbones.load import WEIGHT_FILES
from train.common.command import command_parser, exits_with_code
from train.corpus.audio_cache import add_cache_dir
from train.corpus.clip_table import add_columns, columns_of
from train.corpus.places import BUNDLED_CHECKPOINT, DATA_HELP, HOW_TO_GET, find_corpus
from train.corpus.recordings import Clip, bundled_speech, join, load_clips
from train.corpus.splits import SPLITS

CALIBRATION_WINDOWS = 16
"""Windows of the bundled synthetic voice by which int8 weights are rounded, so that an export needs
no corpus. Windows of CREMA-D generalise less: logits on LibriSpeech then change by 0.062 instead of
0.037."""

QUANTIZATIONS = ("int8", "mixed")
"""Choices of `--quantization`."""

MIXED = f"; the {SENSITIVE} most sensitive layers in fp32"
"""Added to `SUMMARY` for `mixed`."""

VERSIONS = ("emo-listen", "onnx", "onnxruntime", "optimum", "optimum-onnx", "torch", "transformers")


def parse_args(argv: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = command_parser(__doc__)
    parser.add_argument(
        "checkpoint",
        type=Path,
        nargs="?",
        default=BUNDLED_CHECKPOINT,
        help="folder written by train/finetune.py (default: the bundled model's checkpoint)",
    )
    parser.add_argument(
        "--output", type=Path, help="model folder to write (default: runs/onnx/<checkpoint's name>)"
    )
    parser.add_argument(
        "--data",
        help=f"corpus to score on, as for train/finetune.py ({DATA_HELP})",
    )
    add_columns(parser)
    parser.add_argument(
        "--split",
        choices=SPLITS,
        nargs="+",
        default=["validation"],
        help="splits to score on; the first decides whether int8 is accepted, the others are only "
        "reported (default: validation)",
    )
    parser.add_argument(
        "--max-accuracy-drop",
        type=float,
        default=0.5,
        help="percentage points of accuracy that int8 may lose against PyTorch (default: 0.5)",
    )
    parser.add_argument(
        "--quantization",
        choices=QUANTIZATIONS,
        default="int8",
        help="int8 (default), or mixed: int8 except for the linear layers that are measured to be "
        "most sensitive; slightly slower and larger",
    )
    add_cache_dir(parser)
    args = parser.parse_args(argv)
    args.output = args.output or Path("runs/onnx") / args.checkpoint.resolve().name
    args.data = args.data or find_corpus()
    return args


def run(args: argparse.Namespace, command: str) -> None:
    """Export, verify, score and write.

    Raises:
        ModelError: not a checkpoint of an audio classifier.
        CorpusError: nothing to score on, or classes that the model does not know.
        ParityError: fp32 differs from PyTorch; nothing is written.
        AccuracyDropError: int8 loses too much accuracy; only fp32 is written.
    """
    if args.output.exists() and not args.output.is_dir():
        raise ModelError(f"--output {args.output} is a file: give a folder")
    reference = PyTorchModel.load(args.checkpoint)
    rate = reference.sampling_rate
    splits = {
        split: load_clips(
            args.data, split, rate, cache_dir=args.cache_dir, columns=columns_of(args)
        )
        for split in args.split
        if args.data is not None
    }
    speech = join(splits[args.split[0]]) if splits else bundled_speech(rate)

    args.output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=args.output.parent, prefix=".to_onnx-") as staging:
        folder = Path(staging)
        inputs = sample_inputs(reference, CALIBRATION_WINDOWS)
        head = export(args.checkpoint, folder, inputs, args.quantization)
        # Fails early if the runtime cannot load them.
        models = [EmotionModel.load(folder, file_name=name) for name in (FP32, INT8)]
        parity = compare(reference, folder / FP32, folder / INT8, speech)
        print_parity(parity)

        settings = ModelSettings.read(args.checkpoint)
        settings.head = head
        settings.sha256 = {}
        settings.add_hashes(folder, [folder / name for name in (*NEEDED_FILES, FP32, INT8)])
        settings.origin["export"] = {
            "command": command,
            "versions": {package: version(package) for package in VERSIONS},
            "weights_sha256": {
                name: file_sha256(args.checkpoint / name)
                for name in WEIGHT_FILES
                if (args.checkpoint / name).is_file()
            },
            "opset": OPSET,
            "int8": SUMMARY + MIXED * (args.quantization == "mixed"),
            "largest_logit_difference": {
                "fp32": max(row.fp32 for row in parity),
                "int8": max(row.int8 for row in parity),
            },
        }
        settings.write(folder)
        drop_error = score(args, folder, settings, reference, models, splits) if splits else None
        extend_model_card(args.checkpoint, folder, settings)
        install(folder, args.output)

    for name in (FP32, INT8):
        if (args.output / name).is_file():
            size = (args.output / name).stat().st_size
            print(f"Wrote {args.output / name} ({size / 1e6:.1f} MB)")
    if not splits:
        print(f"No corpus: the accuracy of int8 was not checked. To get one: {HOW_TO_GET}")
    if args.checkpoint.resolve() == BUNDLED_CHECKPOINT:
        print("\n".join(against_bundled(args.output, inputs, BUNDLED_MODEL)))
    if drop_error:
        raise drop_error


def export(
    checkpoint: Path,
    folder: Path,
    inputs: list[NDArray[np.float32]],
    quantization: str = "int8",
) -> dict[str, Any] | None:
    """Write both graphs and the hub's configuration files of `checkpoint` into `folder`.

    Args:
        checkpoint: folder to export.
        folder: folder to write to.
        inputs: `input_values` `(1, n_samples)` of speech, for `quantize_int8`.
        quantization: one of `QUANTIZATIONS`.

    Returns:
        The last layer, as `embedding.expose_embedding` returns it.
    """
    with tqdm(total=2, desc="export", unit="graph") as progress:
        head = export_fp32(checkpoint, folder)
        progress.update()
        mixed = quantization == "mixed"
        in_fp32 = sensitive_products(folder / FP32, inputs) if mixed else []
        quantize_int8(folder / FP32, inputs, in_fp32)
        progress.update()
    return head


def score(
    args: argparse.Namespace,
    folder: Path,
    settings: ModelSettings,
    reference: PyTorchModel,
    models: list[EmotionModel],
    splits: dict[str, list[Clip]],
) -> AccuracyDropError | None:
    """Score PyTorch, fp32 and int8, record it in `settings`, and drop int8 if it loses too much."""
    fp32, int8 = models
    labellers = {
        "pytorch": reference.predict_label,
        "fp32": labeller_of(fp32),
        "int8": labeller_of(int8),
    }
    drop_error = None
    for split, clips in splits.items():
        scores = {
            name: score_labels(label, clips, reference.labels, name)
            for name, label in labellers.items()
        }
        print_table("Scores", score_rows(scores, split))
        settings.scores.setdefault(split, {}).update(scores)
        if split == args.split[0]:
            drop_error = accuracy_drop(scores, args.max_accuracy_drop)
        if drop_error:
            (folder / INT8).unlink()
            del settings.sha256[INT8], scores["int8"], settings.scores[split]["int8"]
            del settings.origin["export"]["int8"]
            del settings.origin["export"]["largest_logit_difference"]["int8"]
            break
    settings.write(folder)
    return drop_error


def install(folder: Path, output: Path) -> None:
    """Move the files of `folder` to `output`, replacing an earlier export."""
    (output / "onnx").mkdir(parents=True, exist_ok=True)
    for stale in (output / "onnx").glob("*.onnx"):
        stale.unlink()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        file.chmod(0o644)
        os.replace(file, output / file.relative_to(folder))


@exits_with_code
def main() -> None:
    """Run from the command line."""
    args = parse_args(sys.argv[1:])
    transformers_logging.set_verbosity_error()
    logging.getLogger("optimum").setLevel(logging.ERROR)
    logging.getLogger("root").setLevel(logging.ERROR)
    run(args, shlex.join(["python", "export/to_onnx.py", *sys.argv[1:]]))


if __name__ == "__main__":
    sys.exit(main())
