"""Pack a run's checkpoint for the clone: half the size, the same answers.

Weights of linear layers, nearly all of a model, are stored in fp16. The rest stays fp32: the front
end has values that fp16 cannot hold. Whoever loads it gets fp32 throughout. Export the packed
checkpoint, not the run's, so that the clone's checkpoint and the package's ONNX are one model:

    python export/pack_checkpoint.py runs/crema-d-compact --output runs/packed
    python export/to_onnx.py runs/packed --output runs/hubert-compact
    python export/bundle.py runs/hubert-compact --checkpoint runs/packed
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

import emo_listen  # noqa: F401  First, since it turns telemetry off.

# isort: split
import torch
from safetensors.torch import load_file, save_file

from emo_listen.errors import EmoListenError, ModelError
from emo_listen.model_settings import ModelSettings
from export.checkpoint import NEEDED_FILES, WEIGHT_FILES, PyTorchModel
from export.parity import speech_windows
from train.corpus.recordings import bundled_speech

WEIGHTS = WEIGHT_FILES[0]

LARGEST = 50_000_000
"""Bytes that the packed weights may have: they are part of every clone."""

WINDOWS = 8
"""Windows of speech on which the packed checkpoint is compared with the run's."""

WINDOW = 3.0
"""Their length in seconds."""


def pack(run: Path, output: Path) -> tuple[int, float]:
    """Write the packed checkpoint of the folder `run` to `output`, replacing what is there.

    Returns:
        Bytes of the weights, and the largest difference of a logit on speech (no unit).

    Raises:
        ModelError: `run` is no checkpoint of an audio classifier, or too large when packed.
    """
    before = PyTorchModel.load(run)
    if not (run / WEIGHTS).is_file():
        raise ModelError(f"{run} has its weights in several files: save them as one {WEIGHTS}")
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".pack-") as staging:
        folder = Path(staging) / output.name
        folder.mkdir()
        tensors = {name: packed(tensor) for name, tensor in load_file(run / WEIGHTS).items()}
        save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
        size = (folder / WEIGHTS).stat().st_size
        if size > LARGEST:
            raise ModelError(f"{run} has {size / 1e6:.1f} MB when packed, above 50 MB")
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
    """Store a linear layer's weight `(out, in)` in fp16, anything else as it is."""
    return tensor.half() if tensor.dim() == 2 and tensor.is_floating_point() else tensor


def largest_difference(before: PyTorchModel, after: PyTorchModel) -> float:
    """Largest absolute difference of a logit (no unit) on windows of speech."""
    rate = before.sampling_rate
    windows = speech_windows(bundled_speech(rate), round(WINDOW * rate), WINDOWS)
    inputs = [before.input_values(window) for window in windows]
    return max(float(abs(before.logits(x) - after.logits(x)).max()) for x in inputs)


def main(argv: list[str] | None = None) -> int:
    """Run from the command line; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="folder that train/finetune.py wrote")
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    args = parser.parse_args(argv)
    try:
        size, difference = pack(args.run, args.output)
    except EmoListenError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{args.output}: {size / 1e6:.1f} MB; largest difference of a logit {difference:.1e}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
