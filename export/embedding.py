"""Give a classifier's graph a second output: the embedding that its last linear layer takes.

The logits are `weight @ embedding + bias`, so that a listener can judge a voice relative to any
baseline without a second run. Other runtimes read the output `logits` by its name, and are not
concerned.
"""

from __future__ import annotations

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
        `weight` [[n] * n_labels] and `bias` [n_labels] of the last layer, as `head` of
        `emo_listen.json` has them; None, and the graph as it was, where the logits do not come
        from a linear layer.
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


def rename(names: Any, tensor: str) -> None:
    """Call `tensor` the embedding wherever it is among a node's `names`."""
    for i, name in enumerate(names):
        if name == tensor:
            names[i] = EMBEDDING


def last_layer(model: ModelProto) -> tuple[str, NDArray[np.float32], NDArray[np.float32]] | None:
    """Input, weight (n_labels, n) and bias (n_labels,) of the `Gemm` that makes the logits."""
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
