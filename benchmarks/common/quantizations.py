"""The quantizations that are compared.

`benchmarks/quantization.py` measures all `QUANTIZATIONS`. `export/to_onnx.py` offers `int8` (its
default) and `mixed`.

Measured on a six-layer student of width 512 after two epochs (AMD EPYC with AVX512-VNNI, one
thread, 3 s of sound); agreement of labels and the largest change of a probability are relative to
fp32, on 180 clips of CREMA-D's validation speakers (dynamic, signed: on 300):

| | MB | time (int8 = 1) | agreement | largest change |
| --- | ---: | ---: | ---: | ---: |
| fp32 | 82.5 | 2.5 | 1 | 0 |
| int8 | 23.0 | 1 | 0.987 | 0.037 |
| dynamic, signed, per channel, 8 or 7 bits | 23.0 | 1.0 | 0.983, 0.990 | 0.042, 0.034 |
| dynamic, signed, per tensor, 7 bits | 22.8 | 1.0 | 0.970 | 0.084 |
| dynamic, unsigned, per channel or tensor | 23.0 | 1.7 | 0.989, 0.978 | 0.034, 0.044 |
| dynamic or static, with convolutions | 21.5 | 1.7, 1.0 | 0.12, 0.17 | 0.77 |
| static, min and max or percentile | 23.0 | 1.0 | 0.972, 0.983 | 0.069, 0.044 |
| weights only, 8 bits, products in fp32 or int8 | 25.2 | 4.1, 1.9 | 1 | 0.007, 0.017 |
| weights only, 4 bits, products in fp32 or int8 | 15.3 | 2.6, 2.2 | 0.922 | 0.16 |
| fp16 | 41.4 | 2.5 | 0.972 | 0.094 |

So nothing is faster than int8 with dynamic scales. Convolutions cannot be int8 in a front end that
computes a logarithm around a constant; wide ones can, since they are products (`streamline.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
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

from export.quantize_int8 import constant_weight_nodes, quantize_int8
from export.sensitivity import sensitive_products

Inputs = list[NDArray[np.float32]]
"""`input_values` `(1, n_samples)` of speech, for calibration."""


def copy_fp32(fp32: Path, inputs: Inputs, target: Path) -> None:
    """Copy the graph unchanged."""
    onnx.save(onnx.load(fp32), target)


def fp16(fp32: Path, inputs: Inputs, target: Path) -> None:
    """Store and compute everything in 16-bit floats; inputs and outputs stay 32 bits."""
    onnx.save(convert_float_to_float16(onnx.load(fp32), keep_io_types=True), target)


def int8(fp32: Path, inputs: Inputs, target: Path) -> None:
    """Quantize as `export/to_onnx.py` does by default."""
    quantize_int8(fp32, inputs).replace(target)


def dynamic(
    weights: QuantType, per_channel: bool, reduce_range: bool
) -> Callable[[Path, Inputs, Path], None]:
    """Plain dynamic int8 of products with stored weights, including outlier channels."""

    def quantize(fp32: Path, inputs: Inputs, target: Path) -> None:
        quantize_dynamic(
            fp32,
            target,
            op_types_to_quantize=["MatMul"],
            nodes_to_quantize=constant_weight_nodes(onnx.load(fp32), "MatMul"),
            per_channel=per_channel,
            reduce_range=reduce_range,
            weight_type=weights,
        )

    return quantize


def dynamic_with_convolutions(fp32: Path, inputs: Inputs, target: Path) -> None:
    """Quantize all products and convolutions with dynamic scales."""
    model = onnx.load(fp32)
    names = constant_weight_nodes(model, "MatMul") + constant_weight_nodes(model, "Conv")
    quantize_dynamic(
        fp32,
        target,
        op_types_to_quantize=["MatMul", "Conv"],
        nodes_to_quantize=names,
        weight_type=QuantType.QUInt8,  # ConvInteger does not support signed weights
    )


def static(
    operators: tuple[str, ...], method: CalibrationMethod
) -> Callable[[Path, Inputs, Path], None]:
    """Quantize with static scales (QDQ), calibrated on speech."""

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
    """Store blocks of 32 weights with a scale; products in fp32 (level 0) or int8 (level 4)."""

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
    """Quantize as `to_onnx.py --quantization mixed` does."""
    in_fp32 = sensitive_products(fp32, inputs)
    quantize_int8(fp32, inputs, in_fp32).replace(target)


QUANTIZATIONS: dict[str, Callable[[Path, Inputs, Path], None]] = {
    "fp32": copy_fp32,
    "int8": int8,
    "dynamic s8 per channel": dynamic(QuantType.QInt8, True, False),
    "dynamic s7 per channel": dynamic(QuantType.QInt8, True, True),
    "dynamic s7 per tensor": dynamic(QuantType.QInt8, False, True),
    "dynamic u8 per channel": dynamic(QuantType.QUInt8, True, False),
    "dynamic u8 per tensor": dynamic(QuantType.QUInt8, False, False),
    "dynamic convolutions": dynamic_with_convolutions,
    "mixed": mixed,
    "static min-max": static(("MatMul",), CalibrationMethod.MinMax),
    "static percentile": static(("MatMul",), CalibrationMethod.Percentile),
    "static convolutions": static(("MatMul", "Conv"), CalibrationMethod.MinMax),
    "weights 8 bits": weights_only(8, 0),
    "weights 8 bits, int8": weights_only(8, 4),
    "weights 4 bits": weights_only(4, 0),
    "weights 4 bits, int8": weights_only(4, 4),
    "fp16": fp16,
}
"""Functions that write a quantized graph, given the fp32 graph, speech, and the path to write.

s8 and s7 are signed weights of 8 and 7 bits, u8 unsigned ones.
"""


class _Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime has no types
    """Feeds speech to onnxruntime's calibration."""

    def __init__(self, inputs: Inputs) -> None:
        self._inputs: Iterator[NDArray[np.float32]] = iter(inputs)

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        """Return the next input, or None after the last."""
        values = next(self._inputs, None)
        return None if values is None else {"input_values": values}
