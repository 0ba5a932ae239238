"""Load classifiers and their feature extractors from a folder or a hub id.

Weights are read from safetensors only, and code of a repository is never run: both a pickle and
such code could do anything.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoModelForAudioClassification,
    PretrainedConfig,
    PreTrainedModel,
    SequenceFeatureExtractor,
    Wav2Vec2FeatureExtractor,
)

from emo_listen.errors import ModelError
from train.backbones.kinds import KNOWN_NAMES

SAFE: dict[str, Any] = {"use_safetensors": True, "trust_remote_code": False}
"""Options of `from_pretrained` for models."""

LOADING_ERRORS = (OSError, ValueError, RuntimeError, KeyError, SafetensorError)
"""What `from_pretrained` raises for folders and repositories that it cannot load."""

WEIGHT_FILES = ("model.safetensors", "model.safetensors.index.json")
PICKLED_FILES = ("pytorch_model.bin", "pytorch_model.bin.index.json")

SAMPLING_RATE = 16_000
"""Rate of a model without `preprocessor_config.json`, in Hz."""


def load_config(place: str | Path) -> PretrainedConfig:
    """Load the config of a folder or hub id.

    Raises:
        ModelError: there is none.
    """
    try:
        return AutoConfig.from_pretrained(place, trust_remote_code=False)
    except LOADING_ERRORS as error:
        raise ModelError(
            f"The model {place} cannot be loaded: give a folder with config.json and weights, or a "
            f"hub id that can be reached. ({first_line(error)})"
        ) from error


def load_extractor(place: str | Path) -> SequenceFeatureExtractor:
    """Load the feature extractor of a folder or hub id, or make one from its config.

    Raises:
        ModelError: there is no such model, or it does not take waveforms.
    """
    config = load_config(place)
    try:
        extractor = AutoFeatureExtractor.from_pretrained(place, trust_remote_code=False)
    except (OSError, ValueError):
        print(f"{place} has no usable preprocessor_config.json: assuming 16 kHz, normalised clips.")
        return default_extractor(config)
    check_takes_waveforms(place, extractor)
    return extractor


def default_extractor(config: PretrainedConfig) -> Wav2Vec2FeatureExtractor:
    """Make the usual feature extractor: 16 kHz, each clip normalised.

    It returns an attention mask for models whose front end was trained with one.
    """
    return Wav2Vec2FeatureExtractor(
        sampling_rate=SAMPLING_RATE,
        do_normalize=True,
        return_attention_mask=getattr(config, "feat_extract_norm", "layer") == "layer",
    )


def check_takes_waveforms(place: str | Path, extractor: SequenceFeatureExtractor) -> None:
    """Refuse a feature extractor that does not make `input_values` of one channel.

    Raises:
        ModelError: naming the model.
    """
    if extractor.model_input_names[0] != "input_values" or extractor.feature_size != 1:
        raise ModelError(
            f"The model {place} takes {extractor.model_input_names[0]}, not raw samples: give a "
            f"model such as {KNOWN_NAMES}."
        )


def load_classifier(place: str | Path, **options: Any) -> Any:
    """Load an audio classifier in float32, in evaluation mode.

    Args:
        place: folder or hub id.
        options: of `from_pretrained`.

    Returns:
        The model, or with `output_loading_info` the model and that.

    Raises:
        ModelError: it cannot be loaded, or its weights are pickled.
    """
    check_not_pickled(place)
    try:
        return AutoModelForAudioClassification.from_pretrained(
            place, dtype=torch.float32, **SAFE, **options
        )
    except LOADING_ERRORS as error:
        raise ModelError(f"The model {place} cannot be loaded: {first_line(error)}") from error


def load_with_new_head(
    place: str, label_names: list[str], weighted_layer_sum: bool | None = None
) -> PreTrainedModel:
    """Load a base model with a head for `label_names`; a head of another size is replaced.

    Args:
        place: folder or hub id.
        label_names: classes, in the order of their indices.
        weighted_layer_sum: whether the head's input is a learned mean of all hidden states; None:
            as the base model's config says.

    Raises:
        ModelError: the weights cannot be loaded.
    """
    options: dict[str, Any] = {}
    if weighted_layer_sum is not None:
        options["use_weighted_layer_sum"] = weighted_layer_sum
    model, found = load_classifier(
        place,
        id2label=dict(enumerate(label_names)),
        label2id={name: i for i, name in enumerate(label_names)},
        ignore_mismatched_sizes=True,
        output_loading_info=True,
        **options,
    )
    if "layer_weights" in found["missing_keys"]:
        # transformers leaves these uninitialised except in HuBERT.
        torch.nn.init.constant_(model.layer_weights, 1 / len(model.layer_weights))
    model.config.problem_type = None  # the base model's own head may have been for regression
    return model


def check_not_pickled(place: str | Path) -> None:
    """Refuse a local folder whose only weights are pickled.

    Raises:
        ModelError: naming the file.
    """
    folder = Path(place)
    if any((folder / name).is_file() for name in WEIGHT_FILES):
        return
    pickled = next((name for name in PICKLED_FILES if (folder / name).is_file()), None)
    if pickled is not None:
        raise ModelError(
            f"{folder} has only pickled weights ({pickled}), which can run code when they are "
            "loaded. Only safetensors are supported: if you trust the file, load it with "
            "transformers and save it with model.save_pretrained(folder)."
        )


def first_line(error: Exception) -> str:
    """First line of an error's message."""
    return (str(error).splitlines() or [type(error).__name__])[0]
