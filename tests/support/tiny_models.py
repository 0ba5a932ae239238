"""Tiny ONNX models in the hub's layout: statistics of the samples, with and without a head."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

LABELS = ["anger", "neutral", "sadness"]

HEAD: dict[str, Any] = {
    "weight": [[2.0, 0.5], [0.0, 0.0], [-2.0, 0.5]],
    "bias": [0.1, 0.2, -0.1],
    "population": [-2.0, 0.5],
}
"""Anger is louder than a voice's ordinary speech, sadness softer."""


def write_model(folder: Path, *, n_logits: int = 2, masked: bool = False) -> Path:
    """A network of two statistics of the sound, in the hub's layout and with its signature.

    Logits: the mean of the samples, and ten times their mean absolute value (divided by the
    number of samples in the attention mask where `masked`).
    """
    shape = ["batch_size", "sequence_length"]
    inputs = [helper.make_tensor_value_info("input_values", TensorProto.FLOAT, shape)]
    nodes = [
        helper.make_node("Abs", ["input_values"], ["magnitude"]),
        helper.make_node("ReduceMean", ["input_values"], ["mean"], axes=[1], keepdims=1),
        helper.make_node("ReduceMean", ["magnitude"], ["loudness"], axes=[1], keepdims=1),
        helper.make_node("Mul", ["loudness", "ten"], ["loud"]),
    ]
    parts = ["mean", "loud"]
    if masked:
        inputs.append(helper.make_tensor_value_info("attention_mask", TensorProto.INT64, shape))
        nodes += [
            helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["mask"], ["heard"], axes=[1], keepdims=1),
            helper.make_node("Mul", ["loud", "heard"], ["loud_heard"]),
        ]
        parts = ["mean", "loud_heard"]
    nodes.append(helper.make_node("Concat", (parts * n_logits)[:n_logits], ["logits"], axis=1))
    graph = helper.make_graph(
        nodes,
        "statistics",
        inputs,
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch_size", n_logits])],
        [numpy_helper.from_array(np.array([10], np.float32), "ten")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    (folder / "onnx").mkdir(parents=True)
    onnx.save(model, folder / "onnx" / "model.onnx")
    (folder / "config.json").write_text(json.dumps({"id2label": {"0": "calm", "1": "loud"}}))
    (folder / "preprocessor_config.json").write_text(
        json.dumps({"do_normalize": False, "sampling_rate": 8000})
    )
    return folder


def write_head_model(
    folder: Path,
    *,
    head: dict[str, Any] | None = None,
    sampling_rate: int = 16000,
    settings: dict[str, Any] | None = None,
) -> Path:
    """Write a model whose embedding is the logarithm of the level, and the mean of the sound.

    Args:
        folder: Where to; made.
        head: What `emo_listen.json` says of the head, weight, bias and population in the graph too.
        sampling_rate: In Hz.
        settings: Further fields of `emo_listen.json`.
    """
    head = HEAD if head is None else head
    shape = ["batch_size", "sequence_length"]
    nodes = [
        helper.make_node("Abs", ["input_values"], ["magnitude"]),
        helper.make_node("ReduceMean", ["magnitude"], ["loudness"], axes=[1], keepdims=1),
        helper.make_node("Add", ["loudness", "least"], ["above"]),
        helper.make_node("Log", ["above"], ["level"]),
        helper.make_node("ReduceMean", ["input_values"], ["mean"], axes=[1], keepdims=1),
        helper.make_node("Concat", ["level", "mean"], ["embedding"], axis=1),
        helper.make_node("Sub", ["embedding", "population"], ["relative"]),
        helper.make_node("Gemm", ["relative", "weight", "bias"], ["logits"], transB=1),
    ]
    constants = {name: np.array(head[name], np.float32) for name in HEAD}
    constants["least"] = np.array([1e-4], np.float32)
    graph = helper.make_graph(
        nodes,
        "levels",
        [helper.make_tensor_value_info("input_values", TensorProto.FLOAT, shape)],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch_size", size])
            for name, size in (("logits", len(LABELS)), ("embedding", 2))
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    (folder / "onnx").mkdir(parents=True)
    onnx.save(model, folder / "onnx" / "model.onnx")
    (folder / "config.json").write_text(json.dumps({"id2label": dict(enumerate(LABELS))}))
    (folder / "preprocessor_config.json").write_text(
        json.dumps({"do_normalize": False, "sampling_rate": sampling_rate})
    )
    values = {"window": 3.0, "hop": 0.5, **(settings or {}), "head": head}
    (folder / "emo_listen.json").write_text(json.dumps(values))
    return folder
