"""Checks an ONNX file before onnxruntime opens it.

onnxruntime trusts its models: it opens any other file that they name, runs endless loops, and
aborts the process on some input shapes. The runtime does not depend on the `onnx` package, so this
module reads the few fields of the format that matter.
https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

from __future__ import annotations

from collections.abc import Iterator

MAX_FIELDS = 2_000_000
"""Maximum number of fields, which take 3 s to read. A HuBERT-large has 50,000."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

# For each kind of message, the numbers of the fields that hold messages.
_CHILDREN: dict[str, dict[int, str]] = {
    "Model": {7: "Graph", 25: "Function"},
    "Graph": {1: "Node", 5: "Tensor", 15: "SparseTensor"},
    "Function": {7: "Node", 11: "Attribute"},
    "Node": {5: "Attribute"},
    "Attribute": {
        5: "Tensor",
        6: "Graph",
        10: "Tensor",
        11: "Graph",
        22: "SparseTensor",
        23: "SparseTensor",
    },
    "SparseTensor": {1: "Tensor", 2: "Tensor"},
    "Tensor": {},
}
_EXTERNAL_DATA, _DATA_LOCATION, _OPERATOR = ("Tensor", 13), ("Tensor", 14), ("Node", 4)
_UNBOUNDED: dict[object, str] = {b"Loop": "Loop", b"Scan": "Scan"}


def check_network(model: bytes) -> None:
    """Refuse an ONNX file that reads other files, has loops, or has an input of fixed length.

    Raises:
        ValueError: it does one of these, or is not a protocol buffer.
    """
    for kind, number, value in _walk(model):
        if (kind, number) == _EXTERNAL_DATA or ((kind, number) == _DATA_LOCATION and value):
            raise ValueError(
                "it stores tensors in other files, which could be any file of this device: save "
                "it as one file"
            )
        if (kind, number) == _OPERATOR and value in _UNBOUNDED:
            raise ValueError(
                f"it has the operator {_UNBOUNDED[value]}, which may never end: export it without "
                "loops"
            )
    if (length := _fixed_length(model)) is not None:
        raise ValueError(
            f"its input_values have a fixed length of {length} samples: export it with a "
            "dynamic axis"
        )


def _walk(model: bytes) -> Iterator[tuple[str, int, int | memoryview]]:
    """Yield message kind, field number and value of each field that does not hold a message."""
    waiting = [("Model", memoryview(model))]
    count = 0
    while waiting:
        kind, message = waiting.pop()
        for number, value in _fields(message):
            count += 1
            if count > MAX_FIELDS:
                raise ValueError(f"it has more than {MAX_FIELDS} fields")
            child = _CHILDREN[kind].get(number)
            if child is None:
                yield kind, number, value
            elif isinstance(value, memoryview):
                waiting.append((child, value))


def _fixed_length(model: bytes) -> int | None:
    """Return the second dimension of the graph's `input_values`; None if it is dynamic."""
    for graph in _messages(memoryview(model), 7):
        for value_info in _messages(graph, 11):
            if b"input_values" in [bytes(name) for name in _messages(value_info, 1)]:
                dimensions = _path(value_info, 2, 1, 2, 1)  # type, tensor_type, shape, dim
                if len(dimensions) == 2:
                    values = [v for n, v in _fields(dimensions[1]) if n == 1 and isinstance(v, int)]
                    return values[-1] if values else None
    return None


def _path(message: memoryview, *numbers: int) -> list[memoryview]:
    """Return the messages at a path of field numbers below `message`."""
    found = [message]
    for number in numbers:
        found = [child for parent in found for child in _messages(parent, number)]
    return found


def _messages(message: memoryview, number: int) -> list[memoryview]:
    return [v for n, v in _fields(message) if n == number and isinstance(v, memoryview)]


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield the number and value of each field."""
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        wire_type = tag & 7
        if wire_type == _VARINT:
            value, position = _varint(message, position)
            yield tag >> 3, value
            continue
        if wire_type == _BYTES:
            length, position = _varint(message, position)
        elif wire_type in (_FIXED32, _FIXED64):
            length = 4 if wire_type == _FIXED32 else 8
        else:
            raise ValueError(f"unknown wire type {wire_type}")
        if position + length > len(message):
            raise ValueError("the file is cut short")
        yield tag >> 3, message[position : position + length]
        position += length


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    """Decode a varint; return it and the position after it."""
    value = shift = 0
    while True:
        if position >= len(message) or shift > 63:
            raise ValueError("the file is cut short")
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
