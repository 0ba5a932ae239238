"""Read a fine-tuned checkpoint, and predict with it in PyTorch as the reference.

Only safetensors are read: a pickled checkpoint could run code.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax
from transformers import (
    AutoFeatureExtractor,
    AutoModelForAudioClassification,
    PreTrainedModel,
    SequenceFeatureExtractor,
)

from emo_listen.errors import ModelError
from long_recordings import over_windows

NEEDED_FILES = ("config.json", "preprocessor_config.json")
WEIGHT_FILES = ("model.safetensors", "model.safetensors.index.json")


def check_checkpoint(folder: Path) -> None:
    """Refuse a folder that is not a checkpoint as the Trainer writes it.

    Raises:
        ModelError: the folder, one of its files, or its safetensors weights are absent.
    """
    if not folder.is_dir():
        raise ModelError(f"checkpoint {folder} is not a folder")
    absent = [name for name in NEEDED_FILES if not (folder / name).is_file()]
    if not any((folder / name).is_file() for name in WEIGHT_FILES):
        absent.append(WEIGHT_FILES[0])
    if absent:
        raise ModelError(
            f"checkpoint {folder} lacks {', '.join(absent)}. Give the folder that "
            "train/finetune.py wrote; weights are read from safetensors only."
        )


def load_classifier(folder: Path, attn_implementation: str | None = None) -> PreTrainedModel:
    """Load the audio classifier in `folder`, in fp32 and in evaluation mode.

    Raises:
        ModelError: not a checkpoint, not an audio classifier, or weights are missing from it.
    """
    check_checkpoint(folder)
    try:
        model, info = AutoModelForAudioClassification.from_pretrained(
            folder,
            attn_implementation=attn_implementation,
            dtype=torch.float32,
            local_files_only=True,
            output_loading_info=True,
            use_safetensors=True,
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise ModelError(f"checkpoint {folder} is not an audio classifier: {error}") from error
    if info["missing_keys"]:
        raise ModelError(
            f"checkpoint {folder} has no weights for {', '.join(sorted(info['missing_keys']))}: "
            "fine-tune it as a classifier first"
        )
    return model.eval()


@dataclass
class PyTorchModel:
    """A checkpoint run by transformers, one recording at a time and never padded."""

    model: PreTrainedModel
    """The classifier, in evaluation mode."""

    feature_extractor: SequenceFeatureExtractor
    """What turns samples into `input_values`."""

    @classmethod
    def load(cls, folder: Path) -> PyTorchModel:
        """Load the checkpoint in `folder`.

        Raises:
            ModelError: as `load_classifier`.
        """
        model = load_classifier(folder)
        extractor = AutoFeatureExtractor.from_pretrained(folder, local_files_only=True)
        return cls(model, extractor)

    @property
    def labels(self) -> list[str]:
        """Class names, in the order of the logits."""
        return [self.model.config.id2label[i] for i in range(self.model.config.num_labels)]

    @property
    def sampling_rate(self) -> int:
        """Rate that the model was trained at, in Hz."""
        return self.feature_extractor.sampling_rate

    def input_values(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Prepare `samples` `(n_samples,)` at the model's rate, giving `(1, n_samples)`."""
        return self.feature_extractor(
            samples, sampling_rate=self.sampling_rate, return_tensors="np"
        )["input_values"].astype(np.float32)

    def logits(self, input_values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Logits `(1, n_labels)` of prepared `input_values` `(1, n_samples)`."""
        with torch.inference_mode():
            return self.model(torch.from_numpy(input_values)).logits.numpy()

    def predict_label(self, samples: NDArray[np.float32]) -> str:
        """Most probable class of `samples` `(n_samples,)`, of any length, at the model's rate."""
        mean = over_windows(self.probabilities, self.sampling_rate)(samples)
        return self.labels[int(mean.argmax())]

    def probabilities(
        self, samples: NDArray[np.float32], temperature: float = 1.0
    ) -> NDArray[np.float64]:
        """Probabilities `(n_labels,)` of `samples` `(n_samples,)` at the model's rate."""
        logits = self.logits(self.input_values(samples))[0]
        return softmax(logits.astype(np.float64) / temperature)
