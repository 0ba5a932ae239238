"""Score a saved checkpoint on clips, as it will be used: from sound, in float32, unpadded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.metrics import confusion_matrix
from tqdm import tqdm
from transformers import AutoModelForAudioClassification

from clips import Clips
from metrics import ClassifierMetrics


@dataclass
class Score:
    """What a checkpoint scored on one split."""

    n_clips: int
    """Clips that were scored."""

    metrics: dict[str, float]
    """Accuracy, UAR, macro F1 and recalls (fractions, 0 to 1)."""

    confusion: np.ndarray
    """Counts (n_classes, n_classes): rows are the true class, columns the predicted one."""


def score_checkpoint(
    folder: str, splits: dict[str, Clips], label_names: list[str], device: torch.device
) -> dict[str, Score]:
    """Load the checkpoint in `folder` and score it on each split."""
    model = AutoModelForAudioClassification.from_pretrained(folder).to(device).eval()
    return {name: score(model, clips, label_names, device, name) for name, clips in splits.items()}


def score(
    model: Any, clips: Clips, label_names: list[str], device: torch.device, name: str
) -> Score:
    """Score a model on clips, one clip at a time."""
    logits = logits_of_clips(model, clips, device, f"Scoring, {name} clips")
    predictions = logits.argmax(dim=1).numpy()
    return Score(
        n_clips=len(clips),
        metrics=ClassifierMetrics(label_names).score(predictions, clips.labels),
        confusion=confusion_matrix(clips.labels, predictions, labels=list(range(len(label_names)))),
    )


def logits_of_clips(model: Any, clips: Clips, device: torch.device, told: str) -> torch.Tensor:
    """Run a model on each clip alone: float32 (n_clips, n_classes) on the CPU.

    `told` names the work on the progress bar.
    """
    rows = []
    with torch.inference_mode():
        for i in tqdm(range(len(clips)), desc=told, unit="clip"):
            values = torch.from_numpy(np.asarray(clips[i]["input_values"]))[None].to(device)
            rows.append(model(input_values=values).logits[0].float().cpu())
    return torch.stack(rows)
