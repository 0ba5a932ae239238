"""Quantize the fp32 graph to int8.

Measured on a six-layer student of width 512 (AMD EPYC with AVX512-VNNI, one thread, 3 s):
fp32 78 ms and 91 MB; int8 MatMul 38 ms and 33 MB, as fast per channel as per tensor at less than
half the error; with convolution weights stored as int8 38 ms and 23 MB.

- Linear layers run in int8 with dynamic scales: signed weights, symmetric and per output channel;
  unsigned activations, except for outlier channels (`outliers.py`). Products of two activations, as
  in attention, stay fp32.
- Weights use 7 of the 8 bits (`reduce_range`). On x86 processors without VNNI (Intel before
  Ice Lake, AMD before Zen 4), onnxruntime adds pairs of products in 16 bits, which overflow with
  8-bit weights. Relative squared error of a distilled student's time-averaged states, with VNNI and
  on an emulated Haswell: 0.007 and 0.485 with 8 bits, 0.017 and 0.017 with 7, in the same time.
  Unsigned weights never overflow, but take 1.4 times as long.
- Weights are rounded to preserve each layer's output (`weight_rounding.py`).
- Convolutions run in fp32, which is faster than int8 convolution with dynamic scales. Only their
  weights are *stored* as int8, with one scale for each output channel; onnxruntime folds the cast
  and the multiplication once, when it loads the model. It would not fold a `DequantizeLinear`, but
  run it for each window.
- Convolutions with one input channel per filter, and small ones, stay fp32: a compact student's
  front end computes a logarithm with them, around a constant that rounded weights would not cancel.
  Storing them as int8 too saves 1 MB of 17, but on CREMA-D's validation clips it changed the logits
  by 0.12 (root mean square) and the accuracy from 0.705 to 0.697; the large convolution alone
  changes the logits by 0.006.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantFormat, QuantizationMode, QuantType
from optimum.onnxruntime import ORTQuantizer, QuantizationConfig

from export.outliers import split_outlier_channels
from export.weight_rounding import round_to_outputs

LARGE = 500_000
"""Fewest weights of a convolution that is stored as int8."""

SUMMARY = (
    "MatMul int8, dynamic, signed, per channel, 7-bit weights by GPTQ, outlier channels in fp32; "
    "large convolutions stored as int8"
)
"""Description for the model card and `emo_listen.json`."""


def quantize_int8(
    fp32: Path, inputs: list[NDArray[np.float32]], in_fp32: Collection[str] = ()
) -> Path:
    """Write `<stem>_quantized.onnx` beside `fp32`, and return its path.

    Args:
        fp32: the exported graph, weight norm folded.
        inputs: `input_values` `(1, n_samples)` of speech, to find outlier channels and round
            weights.
        in_fp32: names of MatMul nodes to leave in fp32.
    """
    model = onnx.load(fp32)
    linear = [name for name in constant_weight_nodes(model, "MatMul") if name not in in_fp32]
    split_outlier_channels(model, linear, inputs)
    config = QuantizationConfig(
        is_static=False,
        format=QuantFormat.QOperator,
        mode=QuantizationMode.IntegerOps,
        weights_dtype=QuantType.QInt8,
        per_channel=True,
        reduce_range=True,
        operators_to_quantize=["MatMul"],
        nodes_to_quantize=linear,
    )
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / fp32.name
        onnx.save(model, prepared)
        ORTQuantizer(prepared).quantize(config, save_dir=folder, file_suffix="quantized")
        before, model = model, onnx.load(prepared.with_stem(f"{fp32.stem}_quantized"))

    round_to_outputs(before, model, linear, inputs)
    store_convolutions_as_int8(model)
    onnx.checker.check_model(model)
    int8 = fp32.with_stem(f"{fp32.stem}_quantized")
    onnx.save(model, int8)
    return int8


def constant_weight_nodes(model: ModelProto, op_type: str) -> list[str]:
    """Names of the `op_type` nodes whose second input is a stored weight."""
    constants = {tensor.name for tensor in model.graph.initializer}
    return [
        node.name
        for node in model.graph.node
        if node.op_type == op_type and node.input[1] in constants
    ]


def store_convolutions_as_int8(model: ModelProto) -> int:
    """Store weights of large convolutions as int8, in place, except for one-channel filters.

    Returns:
        Number of weights replaced.
    """
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    used = [node.input[1] for node in graph.node if node.op_type == "Conv"]
    names = [
        name
        for name in dict.fromkeys(used)
        if name in constants
        and constants[name].dims[1] > 1
        and np.prod(constants[name].dims) >= LARGE
    ]
    for name in names:
        _store_as_int8(graph, constants[name])
    return len(names)


def _store_as_int8(graph: GraphProto, tensor: TensorProto) -> None:
    """Replace a weight `(out_channels, ...)` by int8, a cast, and a scale for each channel."""
    weight = numpy_helper.to_array(tensor)
    name = tensor.name
    largest = np.abs(weight).max(axis=tuple(range(1, weight.ndim)), keepdims=True)
    scale = np.where(largest > 0, largest / 127, 1).astype(np.float32)
    stored = np.round(weight / scale).astype(np.int8)

    graph.initializer.remove(tensor)
    graph.initializer.append(numpy_helper.from_array(stored, f"{name}_int8"))
    graph.initializer.append(numpy_helper.from_array(scale, f"{name}_scale"))
    graph.node.insert(0, helper.make_node("Mul", [f"{name}_fp32", f"{name}_scale"], [name]))
    graph.node.insert(
        0, helper.make_node("Cast", [f"{name}_int8"], [f"{name}_fp32"], to=TensorProto.FLOAT)
    )
