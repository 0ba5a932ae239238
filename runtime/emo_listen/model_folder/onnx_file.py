"""What an ONNX file holds, read before onnxruntime opens it.

onnxruntime trusts its models: it opens whatever other file they name, runs loops without end, and
aborts the process on some input shapes. The runtime does not depend on the `onnx` package; this
walks the few fields of the format that tell.
https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

from __future__ import annotations

from collections.abc import Iterator

MAX_FIELDS = 2_000_000
"""Most fields of a file that is read, which takes 3 s. A HuBERT-large has 50,000."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

# For each message, the fields that hold further messages, by number.
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
    """Refuse an ONNX file that reads other files, has loops, or takes sound of one length alone.

    Raises:
        ValueError: it is one of these, or not a protocol buffer.
    """
    for kind, number, value in _walk(model):
        if (kind, number) == _EXTERNAL_DATA or ((kind, number) == _DATA_LOCATION and value):
            raise ValueError(
                "it keeps tensors in other files, and could name any file of this device: save it "
                "as one file"
            )
        if (kind, number) == _OPERATOR and value in _UNBOUNDED:
            raise ValueError(
                f"it has the operator {_UNBOUNDED[value]}, which may never end: no encoder of "
                "speech needs it"
            )
    if (length := _fixed_length(model)) is not None:
        raise ValueError(
            f"its input_values take {length} samples and no other number: export it with a "
            "dynamic axis"
        )


def _walk(model: bytes) -> Iterator[tuple[str, int, int | memoryview]]:
    """Yield the kind of message, number and value of each field that may matter."""
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
    """Return the length that the graph's `input_values` fix in their second dimension, if any."""
    for graph in _messages(memoryview(model), 7):
        for value_info in _messages(graph, 11):
            if b"input_values" in [bytes(name) for name in _messages(value_info, 1)]:
                dimensions = _path(value_info, 2, 1, 2, 1)  # type, tensor_type, shape, dim
                if len(dimensions) == 2:
                    values = [v for n, v in _fields(dimensions[1]) if n == 1 and isinstance(v, int)]
                    return values[-1] if values else None
    return None


def _path(message: memoryview, *numbers: int) -> list[memoryview]:
    """Return the messages below `message` that a path of field numbers leads to."""
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
    """Decode a base-128 number; return it and the position after it."""
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
