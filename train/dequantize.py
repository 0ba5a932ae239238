r"""Convert an int8 model of `export/to_onnx.py` back to a checkpoint, to continue training.

The int8 graph has the trained weights within rounding: 7 bits per weight and one scale per output
channel. The parts that were not trained (front end, positions) come from the student that it was
trained from, which `distill.py` makes.

    python train/dequantize.py runtime/emo_listen/models/hubert-compact \
        --student runs/student-4 --output runs/bundled
"""

from __future__ import annotations

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

from emo_listen.errors import ModelError
from emo_listen.model_folder.network import INT8
from emo_listen.model_settings import FILE_NAME
from train.backbones.load import load_with_new_head
from train.common.command import command_parser, exits_with_code

LAYERS = "hubert.encoder.layers"


def trained_weights(model: ModelProto) -> dict[str, np.ndarray]:
    """Weights of the encoder's layers and the head by PyTorch name, float32.

    Args:
        model: the int8 graph; its nodes have the modules' names.

    Raises:
        ModelError: the graph's nodes are not those that `to_onnx.py` writes.
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
        raise ModelError(
            "The graph is not one that to_onnx.py made from a HuBERT classifier: give its output "
            "folder."
        )
    return weights


def run(folder: Path, student: Path, output: Path) -> None:
    """Write the checkpoint.

    Raises:
        ModelError: the graph is not that of `to_onnx.py`, or the student is another model's.
    """
    weights = trained_weights(onnx.load(folder / INT8))
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    labels = {int(i): name for i, name in config["id2label"].items()}
    names = [labels[i] for i in sorted(labels)]
    model = load_with_new_head(str(student), names, weighted_layer_sum=True)
    mine = model.state_dict()
    unknown = sorted(set(weights) - set(mine))
    if unknown:
        raise ModelError(
            f"{student} has no {', '.join(unknown)}: give the student that the model was "
            "trained from."
        )
    mine.update({name: torch.from_numpy(value.copy()) for name, value in weights.items()})
    model.load_state_dict(mine)
    model.save_pretrained(output)
    for name in ("preprocessor_config.json", FILE_NAME):
        shutil.copyfile(folder / name, output / name)


@exits_with_code
def main() -> None:
    """Run from the command line."""
    parser = command_parser(__doc__)
    parser.add_argument("model", type=Path, help="folder of the int8 model")
    parser.add_argument(
        "--student", type=Path, required=True, help="folder of the student that it was trained from"
    )
    parser.add_argument("--output", type=Path, required=True, help="checkpoint folder to write")
    args = parser.parse_args()
    run(args.model, args.student, args.output)


if __name__ == "__main__":
    sys.exit(main())
