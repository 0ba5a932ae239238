"""The values that the runtime uses of `config.json` and `preprocessor_config.json`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from emo_listen.errors import ModelError
from emo_listen.model_folder.values import (
    flag,
    mapping,
    one_line,
    quoted,
    read_json,
    text,
    whole_number,
)

SINGLE_LABEL = "single_label_classification"
"""The only supported `problem_type`: a softmax turns its logits into probabilities."""

MAX_LABELS = 10_000
"""Maximum number of labels."""

MAX_LABEL_LENGTH = 100
"""Maximum length of a label, in characters."""

MIN_SAMPLING_RATE, MAX_SAMPLING_RATE = 1_000, 192_000
"""Range of the sampling rate that a network may need, in Hz."""

MAX_LAYERS = 64
"""Maximum number of convolutions in the waveform front end; HuBERT has 7."""

T = TypeVar("T")


@dataclass(frozen=True)
class ModelConfig:
    """Names of the network's outputs, and the format of its input."""

    labels: list[str]
    """Names of the classes, in the order of the logits."""

    sampling_rate: int = 16000
    """Sampling rate of the network's input, in Hz."""

    do_normalize: bool = True
    """Whether the input is normalised to zero mean and unit variance."""

    receptive_field: int = 1
    """Number of samples that one frame of the front end covers; 400 for HuBERT-base."""

    @classmethod
    def read(cls, folder: Path) -> ModelConfig:
        """Read both files of `folder`.

        Raises:
            ModelError: one is missing or damaged, has unusable values, or belongs to a model that
                is not a single-label classifier.
        """
        sampling_rate, do_normalize = _checked(folder / "preprocessor_config.json", _preprocessing)
        labels, receptive_field = _checked(folder / "config.json", _classification)
        if receptive_field > sampling_rate:
            raise ModelError(
                f"{folder / 'config.json'}: conv_kernel and conv_stride span {receptive_field} "
                "samples, more than a second"
            )
        return cls(labels, sampling_rate, do_normalize, receptive_field)


def _checked(path: Path, read: Callable[[dict[str, Any]], T]) -> T:
    """Return `read(JSON in path)`; turn errors into a `ModelError` that names the file."""
    try:
        return read(read_json(path))
    except FileNotFoundError as error:
        raise ModelError(f"{path} is missing: every model folder needs it") from error
    except (OSError, ValueError) as error:
        raise ModelError(f"{path} cannot be used: {one_line(error)}") from error


def _preprocessing(values: dict[str, Any]) -> tuple[int, bool]:
    """Return the sampling rate in Hz, and whether sound is normalised."""
    rate = values.get("sampling_rate", ModelConfig.sampling_rate)
    return (
        whole_number(rate, "sampling_rate", MIN_SAMPLING_RATE, MAX_SAMPLING_RATE),
        flag(values.get("do_normalize", ModelConfig.do_normalize), "do_normalize"),
    )


def _classification(values: dict[str, Any]) -> tuple[list[str], int]:
    """Return the labels in the order of the logits, and the receptive field in samples."""
    problem_type = values.get("problem_type")
    if problem_type not in (None, SINGLE_LABEL):
        raise ValueError(
            f"problem_type is {quoted(problem_type)}: only models that choose one of several "
            f"labels ({SINGLE_LABEL}) are supported"
        )
    kernels = _layers(values, "conv_kernel")
    strides = _layers(values, "conv_stride")
    if len(kernels) != len(strides):
        raise ValueError("conv_kernel and conv_stride have different lengths")
    return _labels(values), receptive_field(kernels, strides)


def _labels(values: dict[str, Any]) -> list[str]:
    if "id2label" not in values:
        raise ValueError(
            "id2label, which names the model's classes, is missing: is this an "
            "audio-classification model?"
        )
    by_id = mapping(values["id2label"], "id2label")
    if not 2 <= len(by_id) <= MAX_LABELS:
        raise ValueError(f"id2label has {len(by_id)} labels: it must have 2 to {MAX_LABELS}")
    indices = [str(index) for index in range(len(by_id))]
    if missing := [index for index in indices if index not in by_id]:
        raise ValueError(f"id2label has no label {missing[0]}")
    labels = [text(by_id[index], f"id2label {index}", MAX_LABEL_LENGTH) for index in indices]
    if len(set(labels)) < len(labels):
        raise ValueError("id2label gives two classes the same label")
    return labels


def _layers(values: dict[str, Any], name: str) -> list[int]:
    """Return kernel sizes or strides of the front end; none if it has no such front end."""
    sizes = values.get(name) or []
    if not isinstance(sizes, list) or len(sizes) > MAX_LAYERS:
        raise ValueError(f"{name} is {quoted(sizes)}: it must be a list of at most {MAX_LAYERS}")
    return [whole_number(size, name, 1, MAX_SAMPLING_RATE) for size in sizes]


def receptive_field(kernels: list[int], strides: list[int]) -> int:
    """Return how many samples one output frame of stacked convolutions covers.

    Args:
        kernels: Kernel size of each layer, from the input upwards.
        strides: Stride of each layer.
    """
    field = 1
    for kernel, stride in reversed(list(zip(kernels, strides, strict=True))):
        field = (field - 1) * stride + kernel
    return field
