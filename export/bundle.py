"""Put a model folder into the package, with its int8 graph alone.

The package stays small: of a folder that `to_onnx.py` wrote, and `train/calibrate.py` and
`benchmarks/accuracy.py` completed, it takes everything but the fp32 graph.

    python export/bundle.py runs/hubert-compact
    python export/bundle.py runs/hubert-compact --checkpoint runs/packed

`--checkpoint` puts the packed checkpoint that it was exported from into the clone beside it.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import tempfile
from pathlib import Path

from emo_listen import EmotionModel
from emo_listen.errors import EmoListenError, ModelError
from emo_listen.model import BUNDLED_MODEL
from emo_listen.model_settings import ModelSettings, file_sha256
from export.checkpoint import WEIGHT_FILES
from export.graph import FP32, INT8
from train.corpus.places import BUNDLED_CHECKPOINT

WEIGHTS = WEIGHT_FILES[0]

HEADING = "## ONNX"
TOLD = f"The package brings `{INT8}` alone; the commands above make both again."

LARGEST = 25_000_000
"""Bytes that the int8 graph may have: what a small machine downloads without a second thought."""


def bundle(folder: Path, target: Path) -> None:
    """Replace `target` by `folder` without its fp32 graph.

    Raises:
        ModelError: there is no int8 graph, it is too large, the folder cannot be loaded, or
            `target` is no place for it; nothing is then changed.
    """
    graph = folder / INT8
    if not graph.is_file():
        raise ModelError(f"{graph} is missing: export with export/to_onnx.py first")
    if graph.stat().st_size > LARGEST:
        raise ModelError(f"{graph} has {graph.stat().st_size / 1e6:.1f} MB, above 25 MB")
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
    """Refuse a target whose replacement would lose something.

    Raises:
        ModelError: it is a file, a folder of something else, or overlaps with `folder`.
    """
    inside, outside = target.resolve(), folder.resolve()
    if inside == outside or inside in outside.parents or outside in inside.parents:
        raise ModelError(f"--target {target} and {folder} overlap: name another folder")
    if not target.exists():
        return
    if not target.is_dir() or (any(target.iterdir()) and not (target / "config.json").is_file()):
        raise ModelError(f"--target {target} is no folder of a model: name another, or remove it")


def with_note(card: str) -> str:
    """Add `TOLD` to a card's section on ONNX: before its line on int8, or at its end."""
    heading = re.search(f"^{HEADING}$", card, re.MULTILINE)
    if heading is None:
        return f"{card.rstrip()}\n\n{HEADING}\n\n{TOLD}\n"
    section_end = re.compile(r"^## ", re.MULTILINE).search(card, heading.end())
    end = section_end.start() if section_end else len(card)
    line = card.find("\nint8:", heading.end(), end)
    if line >= 0:
        return f"{card[:line]}\n{TOLD}\n{card[line:]}"
    rest = f"\n{card[end:]}" if card[end:] else ""
    return f"{card[:end].rstrip()}\n\n{TOLD}\n{rest}"


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
