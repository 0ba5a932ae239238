"""Put a model folder into the package, with its int8 graph alone.

The package stays small: of a folder that `to_onnx.py` wrote, and `train/calibrate.py` and
`benchmarks/accuracy.py` completed, it takes everything but the fp32 graph.

    python export/bundle.py runs/hubert-compact
    python export/bundle.py runs/hubert-compact --checkpoint runs/packed

`--checkpoint` puts the packed checkpoint that it was exported from into the clone beside it.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from emo_listen import EmotionModel
from emo_listen.errors import EmoListenError, ModelError
from emo_listen.model import BUNDLED_MODEL
from emo_listen.settings import ModelSettings, file_sha256

sys.path.append(str(Path(__file__).resolve().parents[1] / "train"))

from checkpoint import WEIGHT_FILES
from graph import FP32, INT8
from places import BUNDLED_CHECKPOINT

WEIGHTS = WEIGHT_FILES[0]

HEADING = "## ONNX"
TOLD = f"The package brings `{INT8}` alone; the commands above make both again."

LARGEST = 25_000_000
"""Bytes that the int8 graph may have: what a small machine downloads without a second thought."""


def bundle(folder: Path, target: Path) -> None:
    """Replace `target` by `folder` without its fp32 graph.

    Raises:
        ModelError: there is no int8 graph, it is too large, or the folder cannot be loaded.
    """
    graph = folder / INT8
    if not graph.is_file():
        raise ModelError(f"{graph} is missing: export with export/to_onnx.py first")
    if graph.stat().st_size > LARGEST:
        raise ModelError(f"{graph} has {graph.stat().st_size / 1e6:.1f} MB, above 25 MB")
    EmotionModel.load(folder, file_name=INT8)
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(folder, target, ignore=shutil.ignore_patterns(Path(FP32).name))
    card = target / "README.md"
    text = card.read_text(encoding="utf-8")
    start = text.index(HEADING)
    end = text.find("\nint8:", start)
    card.write_text(f"{text[:end]}\n{TOLD}\n{text[end:]}", encoding="utf-8")
    EmotionModel.load(target)


def bundle_checkpoint(checkpoint: Path, folder: Path, target: Path) -> None:
    """Replace `target` by `checkpoint`, which `export/pack_checkpoint.py` wrote.

    Raises:
        ModelError: the model in `folder` was not exported from it.
    """
    exported = ModelSettings.read(folder).origin.get("export", {}).get("weights_sha256", {})
    here = {WEIGHTS: file_sha256(checkpoint / WEIGHTS)} if (checkpoint / WEIGHTS).is_file() else {}
    if not here or exported != here:
        raise ModelError(
            f"{folder} was not exported from {checkpoint}: give the packed checkpoint to "
            "export/to_onnx.py, and bundle both"
        )
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(checkpoint, target)


def main(argv: list[str] | None = None) -> int:
    """Run from the command line; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path, help="model folder that export/to_onnx.py wrote")
    parser.add_argument("--target", type=Path, default=BUNDLED_MODEL, help="folder in the package")
    parser.add_argument(
        "--checkpoint", type=Path, help="packed checkpoint that it was exported from"
    )
    args = parser.parse_args(argv)
    try:
        if args.checkpoint:
            bundle_checkpoint(args.checkpoint, args.folder, BUNDLED_CHECKPOINT)
        bundle(args.folder, args.target)
    except EmoListenError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{args.target}: {(args.target / INT8).stat().st_size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
