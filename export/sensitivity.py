"""Find the linear layers that int8 harms most, by measurement.

Each is quantized alone, and the change of the logits on speech is measured. Those few that change
them most can stay in fp32 (`to_onnx.py --quantization mixed`), for a model that int8 harms too
much. On a six-layer student that int8 hardly harms it gained next to nothing: the largest change of
a probability on 48 clips was 0.053 and not 0.062, at 1.16 times the time and 1.3 times the size.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import QuantType, quantize_dynamic

from export.graph import open_graph
from export.quantize_int8 import constant_weight_nodes

SENSITIVE = 4
"""Linear layers that are left in fp32."""


def sensitive_products(fp32: Path, inputs: list[NDArray[np.float32]]) -> list[str]:
    """Names of the `SENSITIVE` MatMul nodes that change the logits most, the worst first.

    Args:
        fp32: the exported graph.
        inputs: `input_values` `(1, n_samples)` of speech.
    """
    expected = _logits(fp32, inputs)
    changes = {}
    with tempfile.TemporaryDirectory() as folder:
        alone = Path(folder) / "alone.onnx"
        for name in constant_weight_nodes(onnx.load(fp32), "MatMul"):
            quantize_dynamic(
                fp32,
                alone,
                op_types_to_quantize=["MatMul"],
                nodes_to_quantize=[name],
                per_channel=True,
                reduce_range=True,
                weight_type=QuantType.QInt8,
            )
            changes[name] = float(np.square(_logits(alone, inputs) - expected).mean())
    return sorted(changes, key=lambda name: -changes[name])[:SENSITIVE]


def _logits(graph: Path, inputs: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Logits `(n_inputs, n_labels)`."""
    session = open_graph(graph)
    return np.concatenate([session.run(["logits"], {"input_values": i})[0] for i in inputs])
