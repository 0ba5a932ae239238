"""What the runtime takes from a model folder's `config.json` and `preprocessor_config.json`."""

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
    read_json,
    shown,
    text,
    whole_number,
)

SINGLE_LABEL = "single_label_classification"
"""The only `problem_type` whose logits a softmax turns into probabilities."""

MAX_LABELS = 10_000
"""Most classes of a model."""

MAX_LABEL_LENGTH = 100
"""Most characters of a label."""

MIN_SAMPLING_RATE, MAX_SAMPLING_RATE = 1_000, 192_000
"""Range of the rate of the sound that a network takes, in Hz."""

MAX_LAYERS = 64
"""Most convolutions of a waveform front end; HuBERT has 7."""

T = TypeVar("T")


@dataclass(frozen=True)
class ModelConfig:
    """What the network's answers are called, and how sound is given to it."""

    labels: list[str]
    """Names of the classes, in the order of the logits."""

    sampling_rate: int = 16000
    """Rate of the sound that the network takes, in Hz."""

    do_normalize: bool = True
    """Whether it takes sound of zero mean and unit variance."""

    receptive_field: int = 1
    """Fewest samples from which its front end makes one frame; 400 for HuBERT-base."""

    @classmethod
    def read(cls, folder: Path) -> ModelConfig:
        """Read both files of `folder`.

        Raises:
            ModelError: one is missing or damaged, holds unusable values, or is not that of a
                classifier with one label a sound.
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
    """Return what `read` makes of the JSON in `path`."""
    try:
        return read(read_json(path))
    except FileNotFoundError as error:
        raise ModelError(f"{path} is missing: a model folder needs it") from error
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
            f"problem_type is {shown(problem_type)}: only models that choose one of several "
            f"labels ({SINGLE_LABEL}) can be listened with"
        )
    kernels = _layers(values, "conv_kernel")
    strides = _layers(values, "conv_stride")
    if len(kernels) != len(strides):
        raise ValueError("conv_kernel and conv_stride have different lengths")
    return _labels(values), receptive_field(kernels, strides)


def _labels(values: dict[str, Any]) -> list[str]:
    if "id2label" not in values:
        raise ValueError(
            "it has no id2label, so the model's classes have no names: is it an "
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
    """Kernel sizes or strides of the front end; none where it has no such front end."""
    sizes = values.get(name) or []
    if not isinstance(sizes, list) or len(sizes) > MAX_LAYERS:
        raise ValueError(f"{name} is {shown(sizes)}: it must be a list of at most {MAX_LAYERS}")
    return [whole_number(size, name, 1, MAX_SAMPLING_RATE) for size in sizes]


def receptive_field(kernels: list[int], strides: list[int]) -> int:
    """Fewest samples from which convolutions, the lowest first, make one frame.

    Each layer sees `kernel` outputs of the layer below it, `stride` apart.
    """
    field = 1
    for kernel, stride in reversed(list(zip(kernels, strides, strict=True))):
        field = (field - 1) * stride + kernel
    return field
