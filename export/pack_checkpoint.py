"""Pack a training run's checkpoint for the clone, at half the size.

Weights of linear layers, nearly all of a model, are stored in fp16. The rest
stays fp32, since the front end has values that fp16 cannot represent. Loading
gives fp32 throughout. Export the packed checkpoint rather than the run's, so
that the clone's checkpoint matches the package's ONNX model:

    python export/pack_checkpoint.py runs/crema-d-compact --output runs/packed
    python export/to_onnx.py runs/packed --output runs/hubert-compact
    python export/bundle.py runs/hubert-compact --checkpoint runs/packed
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

import emo_listen  # noqa: F401  First, since it turns telemetry off.

# isort: split
import torch
from safetensors.torch import load_file, save_file

from emo_listen.errors import ModelError
from emo_listen.model_settings import ModelSettings
from export.checkpoint import NEEDED_FILES, PyTorchModel
from export.speech import sample_inputs
from train.backbones.load import WEIGHT_FILES
from train.common.command import command_parser, exits_with_code

WEIGHTS = WEIGHT_FILES[0]

LARGEST = 50_000_000
"""Largest size of the packed weights in bytes: they are part of every clone."""

WINDOWS = 8
"""Number of windows of speech on which the packed checkpoint is compared with the run's."""


def pack(run: Path, output: Path) -> tuple[int, float]:
    """Write the packed checkpoint of the folder `run` to `output`, replacing an older one.

    Returns:
        Size of the weights in bytes, and the largest difference of a logit on speech (no unit).

    Raises:
        ModelError: `run` is not a checkpoint of an audio classifier, or too large when packed.
    """
    before = PyTorchModel.load(run)
    if not (run / WEIGHTS).is_file():
        raise ModelError(f"{run} has its weights in several files: save them as a single {WEIGHTS}")
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".pack-") as staging:
        folder = Path(staging) / output.name
        folder.mkdir()
        tensors = {name: packed(tensor) for name, tensor in load_file(run / WEIGHTS).items()}
        save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
        size = (folder / WEIGHTS).stat().st_size
        if size > LARGEST:
            raise ModelError(
                f"{run} has {size / 1e6:.1f} MB when packed, above {LARGEST / 1e6:.0f} MB: train a "
                "smaller model"
            )
        for file in (*(run / name for name in NEEDED_FILES), *run.glob("*.png"), run / "README.md"):
            if file.is_file():
                shutil.copyfile(file, folder / file.name)
        settings = ModelSettings.read(run)
        settings.sha256 = {}
        settings.add_hashes(folder, [folder / name for name in (*NEEDED_FILES, WEIGHTS)])
        settings.write(folder)
        difference = largest_difference(before, PyTorchModel.load(folder))
        shutil.rmtree(output, ignore_errors=True)
        os.replace(folder, output)
    return size, difference


def packed(tensor: torch.Tensor) -> torch.Tensor:
    """Convert a linear layer's weight `(out, in)` to fp16; return other tensors unchanged."""
    return tensor.half() if tensor.dim() == 2 and tensor.is_floating_point() else tensor


def largest_difference(before: PyTorchModel, after: PyTorchModel) -> float:
    """Largest absolute difference of a logit (no unit) on windows of speech."""
    inputs = sample_inputs(before, WINDOWS)
    return max(float(abs(before.logits(x) - after.logits(x)).max()) for x in inputs)


@exits_with_code
def main(argv: list[str] | None = None) -> None:
    """Run from the command line."""
    parser = command_parser(__doc__)
    parser.add_argument("run", type=Path, help="folder written by train/finetune.py")
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    args = parser.parse_args(argv)
    size, difference = pack(args.run, args.output)
    print(f"{args.output}: {size / 1e6:.1f} MB; largest logit difference {difference:.1e}")


if __name__ == "__main__":
    sys.exit(main())
