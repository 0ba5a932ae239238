"""Score a saved checkpoint on clips as in use: from sound, in float32, without padding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.metrics import confusion_matrix
from tqdm import tqdm

from train.backbones.load import load_classifier
from train.corpus.long_recordings import first_windows, logits_by_recording
from train.evaluation.metrics import ClassifierMetrics
from train.trainer.clips import Clips


@dataclass
class Score:
    """Scores of a checkpoint on one split."""

    n_clips: int
    """Number of recordings."""

    metrics: dict[str, float]
    """Accuracy, UAR, macro F1 and recalls (fractions, 0 to 1)."""

    confusion: np.ndarray
    """Counts (n_classes, n_classes): rows are the true class, columns the predicted one."""


def score_checkpoint(
    folder: str, splits: dict[str, Clips], label_names: list[str], device: torch.device
) -> dict[str, Score]:
    """Load the checkpoint in `folder` and score it on each split."""
    model = load_classifier(folder).to(device)
    return {name: score(model, clips, label_names, device, name) for name, clips in splits.items()}


def score(
    model: Any, clips: Clips, label_names: list[str], device: torch.device, name: str
) -> Score:
    """Score a model, one clip at a time, on the mean probabilities of each recording."""
    logits = logits_of_clips(model, clips, device, f"Scoring, {name} clips").numpy()
    predictions = logits_by_recording(logits, clips.recordings).argmax(axis=1)
    labels = np.array(clips.labels)[first_windows(clips.recordings)]
    return Score(
        n_clips=len(labels),
        metrics=ClassifierMetrics(label_names).score(predictions, labels),
        confusion=confusion_matrix(labels, predictions, labels=list(range(len(label_names)))),
    )


def logits_of_clips(
    model: Any, clips: Clips, device: torch.device, description: str
) -> torch.Tensor:
    """Run a model on each clip alone: float32 logits (n_clips, n_classes) on the CPU.

    `description` is the text of the progress bar.
    """
    rows = []
    with torch.inference_mode():
        for i in tqdm(range(len(clips)), desc=description, unit="clip"):
            values = torch.from_numpy(np.asarray(clips[i]["input_values"]))[None].to(device)
            rows.append(model(input_values=values).logits[0].float().cpu())
    return torch.stack(rows)
