"""Copy a model folder into the package, without its fp32 graph.

To keep the package small, everything but the fp32 graph is taken from a folder
that `export/to_onnx.py` wrote and `train/calibrate.py` and
`benchmarks/accuracy.py` completed.

    python export/bundle.py runs/hubert-compact
    python export/bundle.py runs/hubert-compact --checkpoint runs/packed

With `--checkpoint`, the packed checkpoint it was exported from is copied into
the clone, too.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from pathlib import Path

from emo_listen import EmotionModel
from emo_listen.errors import ModelError
from emo_listen.model import BUNDLED_MODEL
from emo_listen.model_folder.network import FP32, INT8
from emo_listen.model_settings import ModelSettings, file_sha256
from export.onnx_card import HEADING
from train.backbones.load import WEIGHT_FILES
from train.common.command import command_parser, exits_with_code
from train.corpus.places import BUNDLED_CHECKPOINT

WEIGHTS = WEIGHT_FILES[0]

NOTE = f"The package contains only `{INT8}`. The commands above create both graphs."
"""Added to the card's section on ONNX."""

LARGEST = 25_000_000
"""Largest size of the int8 graph in bytes, so that the package stays a small download."""


def bundle(folder: Path, target: Path) -> None:
    """Replace `target` by `folder` without its fp32 graph.

    Raises:
        ModelError: the int8 graph is missing or too large, the folder cannot be loaded, or
            `check_target` refuses `target`. Nothing is changed.
    """
    graph = folder / INT8
    if not graph.is_file():
        raise ModelError(f"{graph} is missing: run export/to_onnx.py first")
    if graph.stat().st_size > LARGEST:
        raise ModelError(
            f"{graph} has {graph.stat().st_size / 1e6:.1f} MB, but at most {LARGEST / 1e6:.0f} MB "
            "are bundled: use it with --model instead, or train a smaller model"
        )
    check_target(folder, target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".bundle-") as staging:
        made, old = Path(staging) / "made", Path(staging) / "old"
        shutil.copytree(folder, made, ignore=shutil.ignore_patterns(Path(FP32).name))
        card = made / "README.md"
        if card.is_file():
            card.write_text(with_note(card.read_text(encoding="utf-8")), encoding="utf-8")
        EmotionModel.load(made)
        if target.exists():
            target.rename(old)
        made.rename(target)


def check_target(folder: Path, target: Path) -> None:
    """Refuse a target that holds anything but a model.

    Raises:
        ModelError: it is a file, a folder of something else, or overlaps with `folder`.
    """
    inside, outside = target.resolve(), folder.resolve()
    if inside == outside or inside in outside.parents or outside in inside.parents:
        raise ModelError(f"--target {target} and {folder} overlap: choose another folder")
    if not target.exists():
        return
    if not target.is_dir() or (any(target.iterdir()) and not (target / "config.json").is_file()):
        raise ModelError(f"--target {target} is not a model folder: choose another, or remove it")


def with_note(card: str) -> str:
    """Add `NOTE` to a card's section on ONNX: before its line on int8, or at its end."""
    heading = re.search(f"^{HEADING}$", card, re.MULTILINE)
    if heading is None:
        return f"{card.rstrip()}\n\n{HEADING}\n\n{NOTE}\n"
    section_end = re.compile(r"^## ", re.MULTILINE).search(card, heading.end())
    end = section_end.start() if section_end else len(card)
    line = card.find("\nint8:", heading.end(), end)
    if line >= 0:
        return f"{card[:line]}\n{NOTE}\n{card[line:]}"
    rest = f"\n{card[end:]}" if card[end:] else ""
    return f"{card[:end].rstrip()}\n\n{NOTE}\n{rest}"


def bundle_checkpoint(checkpoint: Path, folder: Path, target: Path) -> None:
    """Replace `target` by `checkpoint`, which `export/pack_checkpoint.py` wrote.

    Raises:
        ModelError: the model in `folder` was not exported from it.
    """
    exported = ModelSettings.read(folder).origin.get("export", {}).get("weights_sha256", {})
    here = {WEIGHTS: file_sha256(checkpoint / WEIGHTS)} if (checkpoint / WEIGHTS).is_file() else {}
    if not here or exported != here:
        raise ModelError(
            f"{folder} was not exported from {checkpoint}: export the packed checkpoint with "
            "export/to_onnx.py, then bundle both"
        )
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(checkpoint, target)


@exits_with_code
def main(argv: list[str] | None = None) -> None:
    """Run from the command line."""
    parser = command_parser(__doc__)
    parser.add_argument("folder", type=Path, help="model folder written by export/to_onnx.py")
    parser.add_argument(
        "--target", type=Path, default=BUNDLED_MODEL, help="default: the bundled model's folder"
    )
    parser.add_argument(
        "--checkpoint", type=Path, help="packed checkpoint that the model was exported from"
    )
    args = parser.parse_args(argv)
    if args.checkpoint:
        bundle_checkpoint(args.checkpoint, args.folder, BUNDLED_CHECKPOINT)
    bundle(args.folder, args.target)
    print(f"{args.target}: {(args.target / INT8).stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    sys.exit(main())
