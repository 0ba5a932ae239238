"""Turn an int8 model of `export/to_onnx.py` back into a checkpoint to train on from.

The bundled model's weights live on in its int8 graph alone, within rounding: 7 bits a weight and
one scale for each output channel. What was never trained (front end, positions) comes from the
student that it was trained from, as `distill.py` makes it.

    python train/dequantize.py runtime/emo_listen/models/hubert-compact \
        --student runs/student-4 --output runs/bundled
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path

import emo_listen  # noqa: F401  First, since it turns telemetry off.

# isort: split
import numpy as np
import onnx
import torch
from onnx import ModelProto, numpy_helper
from transformers import AutoModelForAudioClassification

from emo_listen.errors import EmoListenError, ModelError
from emo_listen.model_folder.network import INT8
from emo_listen.model_settings import FILE_NAME

LAYERS = "hubert.encoder.layers"


def trained_weights(model: ModelProto) -> dict[str, np.ndarray]:
    """Weights of the encoder's layers and of the head by their PyTorch names, float32.

    Args:
        model: the int8 graph, whose nodes bear the modules' names.

    Raises:
        ModelError: the graph has other nodes than `to_onnx.py` writes.
    """
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    weights = {
        name: value
        for name, value in stored.items()
        if name.startswith((LAYERS, "hubert.encoder.layer_norm", "projector", "classifier"))
    }
    for name in [name for name in weights if name.endswith("_Transposed")]:
        weights[name.removesuffix("_Transposed")] = weights.pop(name).T
    for node in model.graph.node:
        if node.op_type == "MatMulInteger":
            quantized = stored[node.input[1]].astype(np.float32)
            name = node.name.removesuffix("_quant")
            matrix = quantized * stored[node.input[1].removesuffix("_quantized") + "_scale"]
            if f"{name}_rows" in stored:
                tensor = node.input[0].removesuffix("_kept_quantized")
                matrix[stored[f"{tensor}_channels"]] = stored[f"{name}_rows"]
            module = name.strip("/").removesuffix("/MatMul").replace("/", ".")
            if module.startswith(LAYERS):
                weights[f"{module}.weight"] = matrix.T
        if node.op_type == "Mul" and node.input[0] == "/Concat_output_0":
            weights["layer_weights"] = np.log(stored[node.input[1]].ravel())
    needed = ("layer_weights", "classifier.weight", f"{LAYERS}.0.attention.q_proj.weight")
    if not all(name in weights for name in needed):
        raise ModelError("The graph is not one that to_onnx.py made of a HuBERT classifier.")
    return weights


def run(folder: Path, student: Path, output: Path) -> None:
    """Write the checkpoint.

    Raises:
        ModelError: the graph or the student is not what is needed.
    """
    weights = trained_weights(onnx.load(folder / INT8))
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    labels = {int(i): name for i, name in config["id2label"].items()}
    model = AutoModelForAudioClassification.from_pretrained(
        student,
        id2label=labels,
        label2id={name: i for i, name in labels.items()},
        use_weighted_layer_sum=True,
    )
    mine = model.state_dict()
    unknown = sorted(set(weights) - set(mine))
    if unknown:
        raise ModelError(f"{student} has no {', '.join(unknown)}: it is another model's student.")
    mine.update({name: torch.from_numpy(value.copy()) for name, value in weights.items()})
    model.load_state_dict(mine)
    model.save_pretrained(output)
    for name in ("preprocessor_config.json", FILE_NAME):
        shutil.copyfile(folder / name, output / name)


def main() -> int:
    """Run from the command line; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, help="folder of the int8 model")
    parser.add_argument("--student", type=Path, required=True, help="what it was trained from")
    parser.add_argument("--output", type=Path, required=True, help="checkpoint folder to write")
    args = parser.parse_args()
    try:
        run(args.model, args.student, args.output)
    except EmoListenError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
