"""Add a second output to a classifier's graph: the embedding, which its last linear layer takes.

The logits are `weight @ embedding + bias`, so they can be computed relative to any baseline
without a second run. Other runtimes read the output `logits` by name and are not affected.
"""

from __future__ import annotations

from collections.abc import MutableSequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from emo_listen.model import EMBEDDING, LOGITS


def expose_embedding(graph: Path) -> dict[str, Any] | None:
    """Add the output `embedding` `(batch, n)` to the graph in `graph`, in place.

    Returns:
        `weight` [[n] * n_labels] and `bias` [n_labels] of the last layer, in the format of `head`
        in `emo_listen.json`; None, with the graph unchanged, if the logits do not come from a
        linear layer.
    """
    model = onnx.load(graph)
    found = last_layer(model)
    if found is None:
        return None
    tensor, weight, bias = found
    for node in model.graph.node:
        rename(node.input, tensor)
        rename(node.output, tensor)
    model.graph.output.append(
        helper.make_tensor_value_info(EMBEDDING, TensorProto.FLOAT, ["batch_size", weight.shape[1]])
    )
    onnx.checker.check_model(model)
    onnx.save(model, graph)
    return {"weight": weight.tolist(), "bias": bias.tolist()}


def rename(names: MutableSequence[str], tensor: str) -> None:
    """Rename `tensor` to `embedding` among a node's inputs or outputs, in place."""
    for i, name in enumerate(names):
        if name == tensor:
            names[i] = EMBEDDING


def last_layer(model: ModelProto) -> tuple[str, NDArray[np.float32], NDArray[np.float32]] | None:
    """Input, weight (n_labels, n) and bias (n_labels,) of the `Gemm` that computes the logits."""
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    node: NodeProto | None = next((n for n in model.graph.node if LOGITS in n.output), None)
    if node is None or node.op_type != "Gemm" or len(node.input) != 3:
        return None
    tensor, weight_name, bias_name = node.input
    if weight_name not in stored or bias_name not in stored:
        return None
    weight = numpy_helper.to_array(stored[weight_name])
    transposed = any(a.name == "transB" and a.i for a in node.attribute)
    return tensor, weight if transposed else weight.T, numpy_helper.to_array(stored[bias_name])
