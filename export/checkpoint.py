"""Load a fine-tuned checkpoint and predict with it in PyTorch, as the reference.

Only safetensors are read, since a pickled checkpoint can run code.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax
from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoModelForAudioClassification,
    PretrainedConfig,
    PreTrainedModel,
    SequenceFeatureExtractor,
)

from emo_listen.errors import ModelError
from emo_listen.model_folder.hub import how_to_download
from train.backbones.load import (
    LOADING_ERRORS,
    SAFE,
    WEIGHT_FILES,
    check_not_pickled,
    check_takes_waveforms,
)
from train.corpus.long_recordings import over_windows

NEEDED_FILES = ("config.json", "preprocessor_config.json")

HARMLESS = "masked_spec_embed"
"""Weight that only training uses: whether a checkpoint has it depends on its config."""


def check_checkpoint(folder: Path) -> None:
    """Refuse a folder that is not a checkpoint as the Trainer writes it.

    Raises:
        ModelError: the folder, one of its files, or its safetensors weights are missing.
    """
    if not folder.is_dir():
        raise ModelError(f"checkpoint {folder} is not a folder.{how_to_download(folder)}")
    for name in NEEDED_FILES:
        if not (folder / name).is_file():
            raise ModelError(
                f"checkpoint {folder} lacks {name}: copy it from the base model, or give the "
                "folder that train/finetune.py wrote."
            )
    check_not_pickled(folder)
    if not any((folder / name).is_file() for name in WEIGHT_FILES):
        raise ModelError(
            f"checkpoint {folder} lacks {WEIGHT_FILES[0]}: give the folder that train/finetune.py "
            "wrote."
        )


def load_classifier(folder: Path, attn_implementation: str | None = None) -> PreTrainedModel:
    """Load the audio classifier in `folder`, in fp32 and in evaluation mode.

    Raises:
        ModelError: not a checkpoint, not an audio classifier of transformers, or not trained to
            choose a single class.
    """
    check_checkpoint(folder)
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        check_problem_type(folder, config)
        model, info = AutoModelForAudioClassification.from_pretrained(
            folder,
            attn_implementation=attn_implementation,
            dtype=torch.float32,
            local_files_only=True,
            output_loading_info=True,
            **SAFE,
        )
    except LOADING_ERRORS as error:
        raise ModelError(f"checkpoint {folder} is not an audio classifier: {error}") from error
    check_head(folder, model, info)
    return model.eval()


def check_problem_type(folder: Path, config: PretrainedConfig) -> None:
    """Refuse a model that does not choose one of several classes.

    Raises:
        ModelError: it was trained for regression or multi-label classification.
    """
    problem_type = config.problem_type or ("regression" if config.num_labels == 1 else None)
    if problem_type not in (None, "single_label_classification"):
        raise ModelError(
            f"checkpoint {folder} was trained for {problem_type} (problem_type in config.json). "
            "Only single-label classifiers can be exported."
        )


def check_head(folder: Path, model: PreTrainedModel, info: dict[str, Any]) -> None:
    """Refuse a checkpoint that transformers' own class cannot represent.

    Args:
        folder: the checkpoint.
        model: what transformers loaded.
        info: `output_loading_info` of `from_pretrained`.

    Raises:
        ModelError: it was saved by another class, such as one with a custom head.
    """
    missing = sorted(name for name in info["missing_keys"] if not name.endswith(HARMLESS))
    unused = sorted(name for name in info["unexpected_keys"] if not name.endswith(HARMLESS))
    saved_by = (model.config.architectures or [type(model).__name__])[0]
    if not missing and not unused and saved_by == type(model).__name__:
        return
    faults = [f"it was saved by the class {saved_by}"] if saved_by != type(model).__name__ else []
    if missing:
        faults.append(f"it has no weights for {', '.join(missing[:5])}")
    if unused:
        faults.append(f"its weights {', '.join(unused[:5])} would not be used")
    raise ModelError(
        f"checkpoint {folder} is not a {type(model).__name__}: {'; '.join(faults)}. Only the "
        "standard heads of transformers can be exported: fine-tune it with train/finetune.py first."
    )


@dataclass
class PyTorchModel:
    """A checkpoint run by transformers, one recording at a time, without padding."""

    model: PreTrainedModel
    """The classifier, in evaluation mode."""

    feature_extractor: SequenceFeatureExtractor
    """Turns samples into `input_values`."""

    @classmethod
    def load(cls, folder: Path) -> PyTorchModel:
        """Load the checkpoint in `folder`.

        Raises:
            ModelError: as `load_classifier`.
        """
        model = load_classifier(folder)
        try:
            extractor = AutoFeatureExtractor.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
        except (OSError, ValueError) as error:
            raise ModelError(
                f"{folder / NEEDED_FILES[1]} does not describe a feature extractor: {error}"
            ) from error
        check_takes_waveforms(folder, extractor)
        return cls(model, extractor)

    @property
    def labels(self) -> list[str]:
        """Class names, in the order of the logits."""
        return [self.model.config.id2label[i] for i in range(self.model.config.num_labels)]

    @property
    def sampling_rate(self) -> int:
        """Rate that the model was trained at, in Hz."""
        rate: int = self.feature_extractor.sampling_rate
        return rate

    def input_values(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Prepare `samples` `(n_samples,)` at the model's rate, giving `(1, n_samples)`."""
        features = self.feature_extractor(
            samples, sampling_rate=self.sampling_rate, return_tensors="np"
        )
        return np.asarray(features["input_values"], np.float32)

    def logits(self, input_values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits `(1, n_labels)` of prepared `input_values` `(1, n_samples)`."""
        with torch.inference_mode():
            logits: torch.Tensor = self.model(torch.from_numpy(input_values)).logits
        return logits.numpy()

    def predict_label(self, samples: NDArray[np.float32]) -> str:
        """Most probable class of `samples` `(n_samples,)`, of any length, at the model's rate."""
        return self.labels[int(self.mean_probabilities(samples).argmax())]

    def mean_probabilities(
        self, samples: NDArray[np.float32], temperature: float = 1.0
    ) -> NDArray[np.float64]:
        """Probabilities `(n_labels,)` of samples of any length: the mean over their windows."""
        predict = partial(self.probabilities, temperature=temperature)
        return over_windows(predict, self.sampling_rate)(samples)

    def probabilities(
        self, samples: NDArray[np.float32], temperature: float = 1.0
    ) -> NDArray[np.float64]:
        """Probabilities `(n_labels,)` of `samples` `(n_samples,)` at the model's rate."""
        logits = self.logits(self.input_values(samples))[0]
        return np.asarray(softmax(logits.astype(np.float64) / temperature))
