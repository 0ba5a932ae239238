"""The ONNX file of a model folder: its bytes, and its graph."""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
import onnx
from onnx import AttributeProto, ModelProto, TensorProto, numpy_helper

from tests.fuzz.checks import try_model
from tests.fuzz.kinds.model_json import TINY_MODEL
from tests.fuzz.kinds.model_json import prepare as prepare
from tests.fuzz.mutations import mutated_bytes

FILE = "onnx/model.onnx"

SIZES = [0, -1, 1, 2, 3, 7, 1 << 16, 1 << 20, (1 << 31) - 1, 1 << 31, 1 << 40, (1 << 63) - 1]
FLOATS = [0, -1, 1e38, -1e38, float("nan"), float("inf")]
OPERATORS = ["Expand", "Tile", "Range", "ConstantOfShape", "Pad", "Loop", "Scan", "If", "TopK"]


def attempt(random: Random, folder: Path) -> str:
    """Change bytes, or the graph."""
    content = (TINY_MODEL / FILE).read_bytes()
    change = mutated_bytes if random.random() < 0.4 else mutated_graph
    (folder / FILE).write_bytes(change(content, random))
    return try_model(folder)


def mutated_graph(content: bytes, random: Random) -> bytes:
    """Change a few nodes, tensors or shapes."""
    model = onnx.load_from_string(content)
    for _ in range(random.choice([1, 1, 2, 4, 8])):
        _change(model, random)
    return model.SerializeToString()


def _change(model: ModelProto, random: Random) -> None:
    graph = model.graph
    node = random.choice(graph.node)
    constants = [a.t for n in graph.node for a in n.attribute if a.type == AttributeProto.TENSOR]
    names = [name for n in graph.node for name in n.output] + [t.name for t in graph.initializer]
    match random.randrange(9):
        case 0 if node.attribute:
            _change_attribute(random.choice(node.attribute), random)
        case 1:
            node.op_type = random.choice([n.op_type for n in graph.node] + OPERATORS)
        case 2 if node.input:
            node.input[random.randrange(len(node.input))] = random.choice([*names, ""])
        case 3 if node.output:
            node.output[0] = random.choice(names)
        case 4 if graph.initializer:
            _change_tensor(random.choice(graph.initializer), random)
        case 5 if constants:
            _change_tensor(random.choice(constants), random)
        case 6 if len(graph.node) > 1:
            graph.node.remove(node)
        case 7:
            model.opset_import[0].version = random.choice([1, 7, 9, 11, 13, 17, 18, 21, 25, 99])
        case 8:
            value = random.choice([*graph.input, *graph.output])
            random.choice(value.type.tensor_type.shape.dim).dim_value = random.choice(SIZES)


def _change_attribute(attribute: AttributeProto, random: Random) -> None:
    if attribute.type == AttributeProto.INT:
        attribute.i = random.choice(SIZES)
    elif attribute.type == AttributeProto.INTS and attribute.ints:
        attribute.ints[random.randrange(len(attribute.ints))] = random.choice(SIZES)
    elif attribute.type == AttributeProto.FLOAT:
        attribute.f = random.choice(FLOATS)
    elif attribute.type == AttributeProto.TENSOR:
        _change_tensor(attribute.t, random)


def _change_tensor(tensor: TensorProto, random: Random) -> None:
    if random.random() < 0.3 and tensor.dims:
        tensor.dims[random.randrange(len(tensor.dims))] = random.choice(SIZES)
        return
    try:
        array = numpy_helper.to_array(tensor).copy()
    except (ValueError, TypeError):
        return  # Changed before.
    if array.size:
        values = SIZES if array.dtype.kind in "iu" else FLOATS
        with np.errstate(all="ignore"):
            array.flat[random.randrange(array.size)] = np.array(random.choice(values)).astype(
                array.dtype
            )
        tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
