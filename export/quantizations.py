"""Every way to quantize that was compared, so that anybody can compare them again.

`QUANTIZATIONS` names them. `int8` is what `to_onnx.py` writes as the default
(`quantize_int8.py` says why), `int8-4bit` is its smaller choice; `benchmarks/quantization.py`
measures all of them beside each other.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
from onnxruntime.transformers.float16 import convert_float_to_float16

from graph import open_graph
from quantize_int8 import constant_weight_nodes, quantize_int8

Inputs = list[NDArray[np.float32]]
"""`input_values` `(1, n_samples)` of speech, to measure channels and ranges on."""

MIXED_LAYERS = 4
"""Products that `mixed` leaves in fp32: those that alone change the logits most."""


def copy_fp32(fp32: Path, inputs: Inputs, target: Path) -> None:
    """Leave the graph as it is."""
    onnx.save(onnx.load(fp32), target)


def fp16(fp32: Path, inputs: Inputs, target: Path) -> None:
    """Store and compute everything in 16-bit floats; sound and logits stay 32 bits."""
    onnx.save(convert_float_to_float16(onnx.load(fp32), keep_io_types=True), target)


def int8(fp32: Path, inputs: Inputs, target: Path) -> None:
    """Quantize as the package does by default."""
    quantize_int8(fp32, inputs).replace(target)


def dynamic(
    weights: QuantType, per_channel: bool, reduce_range: bool, excluded: tuple[str, ...] = ()
) -> Callable[[Path, Inputs, Path], None]:
    """Plain dynamic int8 of the products with stored weights, without outlier channels apart."""

    def quantize(fp32: Path, inputs: Inputs, target: Path) -> None:
        quantize_dynamic(
            fp32,
            target,
            op_types_to_quantize=["MatMul"],
            nodes_to_quantize=[
                name
                for name in constant_weight_nodes(onnx.load(fp32), "MatMul")
                if name not in excluded
            ],
            per_channel=per_channel,
            reduce_range=reduce_range,
            weight_type=weights,
        )

    return quantize


def dynamic_with_convolutions(fp32: Path, inputs: Inputs, target: Path) -> None:
    """Quantize every product and every convolution with dynamic scales."""
    model = onnx.load(fp32)
    names = constant_weight_nodes(model, "MatMul") + constant_weight_nodes(model, "Conv")
    quantize_dynamic(
        fp32,
        target,
        op_types_to_quantize=["MatMul", "Conv"],
        nodes_to_quantize=names,
        weight_type=QuantType.QUInt8,  # ConvInteger takes no signed weights
    )


def static(
    operators: tuple[str, ...], method: CalibrationMethod
) -> Callable[[Path, Inputs, Path], None]:
    """Fixed scales (QDQ), calibrated on speech."""

    def quantize(fp32: Path, inputs: Inputs, target: Path) -> None:
        model = onnx.load(fp32)
        quantize_static(
            fp32,
            target,
            _Reader(inputs),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(operators),
            nodes_to_quantize=[
                name for kind in operators for name in constant_weight_nodes(model, kind)
            ],
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=method,
        )

    return quantize


def weights_only(bits: int, accuracy_level: int) -> Callable[[Path, Inputs, Path], None]:
    """Blocks of 32 weights with a scale each; products in fp32 (level 0) or int8 (level 4)."""

    def quantize(fp32: Path, inputs: Inputs, target: Path) -> None:
        quantizer = MatMulNBitsQuantizer(
            onnx.load(fp32),
            bits=bits,
            block_size=32,
            is_symmetric=True,
            accuracy_level=accuracy_level,
        )
        quantizer.process()
        quantizer.model.save_model_to_file(str(target))

    return quantize


def mixed(fp32: Path, inputs: Inputs, target: Path) -> None:
    """Plain dynamic int8, but for the few products that alone change the logits most."""
    names = constant_weight_nodes(onnx.load(fp32), "MatMul")
    expected = _logits(onnx.load(fp32), inputs)
    changes = {}
    with tempfile.TemporaryDirectory() as folder:
        alone = Path(folder) / "alone.onnx"
        for name in names:
            others = tuple(other for other in names if other != name)
            dynamic(QuantType.QInt8, True, True, others)(fp32, inputs, alone)
            changes[name] = float(np.square(_logits(onnx.load(alone), inputs) - expected).mean())
    worst = sorted(names, key=lambda name: -changes[name])[:MIXED_LAYERS]
    dynamic(QuantType.QInt8, True, True, tuple(worst))(fp32, inputs, target)


QUANTIZATIONS: dict[str, Callable[[Path, Inputs, Path], None]] = {
    "fp32": copy_fp32,
    "int8": int8,
    "dynamic, signed, per channel, 8 bits": dynamic(QuantType.QInt8, True, False),
    "dynamic, signed, per channel, 7 bits": dynamic(QuantType.QInt8, True, True),
    "dynamic, signed, per tensor, 7 bits": dynamic(QuantType.QInt8, False, True),
    "dynamic, unsigned, per channel, 8 bits": dynamic(QuantType.QUInt8, True, False),
    "dynamic, unsigned, per tensor, 8 bits": dynamic(QuantType.QUInt8, False, False),
    "dynamic, with convolutions": dynamic_with_convolutions,
    "mixed: worst products in fp32": mixed,
    "static, min and max": static(("MatMul",), CalibrationMethod.MinMax),
    "static, percentile": static(("MatMul",), CalibrationMethod.Percentile),
    "static, with convolutions": static(("MatMul", "Conv"), CalibrationMethod.MinMax),
    "weights alone, 8 bits": weights_only(8, 0),
    "weights alone, 8 bits, int8 products": weights_only(8, 4),
    "weights alone, 4 bits": weights_only(4, 0),
    "weights alone, 4 bits, int8 products": weights_only(4, 4),
    "fp16": fp16,
}
"""Writes a quantized graph: from the fp32 graph, speech, and the path to write."""


class _Reader(CalibrationDataReader):
    """Gives speech to onnxruntime's calibration."""

    def __init__(self, inputs: Inputs) -> None:
        self._inputs: Iterator[NDArray[np.float32]] = iter(inputs)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """Return the next input, or None after the last."""
        values = next(self._inputs, None)
        return None if values is None else {"input_values": values}


def _logits(model: ModelProto, inputs: Inputs) -> NDArray[np.float32]:
    """Logits `(n_inputs, n_labels)` of `model`."""
    session = open_graph(model.SerializeToString())
    return np.concatenate([session.run(["logits"], {"input_values": i})[0] for i in inputs])
