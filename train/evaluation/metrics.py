"""Metrics of a classifier as `evaluate.Metric` classes, which need no network.

`evaluate.load` would download a script from the hub at run time.
"""

from __future__ import annotations

from typing import Any

import datasets
import evaluate
import numpy as np
from sklearn.metrics import accuracy_score, f1_score, recall_score
from transformers import EvalPrediction

from train.corpus.long_recordings import first_windows, logits_by_recording


class ClassifierMetric(evaluate.Metric):
    """A metric of integer class predictions against integer references."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=(self.__class__.__doc__ or "").strip(),
            citation="",
            inputs_description="predictions and references: class indices, equally many.",
            features=datasets.Features(
                {"predictions": datasets.Value("int64"), "references": datasets.Value("int64")}
            ),
        )


class Accuracy(ClassifierMetric):
    """Fraction of clips whose class is predicted, 0 to 1."""

    def _compute(self, predictions: list[int], references: list[int]) -> dict[str, float]:
        return {"accuracy": float(accuracy_score(references, predictions))}


class UnweightedAverageRecall(ClassifierMetric):
    """Mean recall of the classes that occur (UAR), 0 to 1."""

    def _compute(self, predictions: list[int], references: list[int]) -> dict[str, float]:
        present = np.unique(references)
        recalls = recall_score(references, predictions, labels=present, average="macro")
        return {"uar": float(recalls)}


class MacroF1(ClassifierMetric):
    """Mean F1 of the classes that occur in either list, 0 to 1."""

    def _compute(self, predictions: list[int], references: list[int]) -> dict[str, float]:
        return {"macro_f1": float(f1_score(references, predictions, average="macro"))}


class ClassRecall(ClassifierMetric):
    """Recall of each class that occurs, 0 to 1."""

    def _compute(
        self, predictions: list[int], references: list[int], label_names: list[str]
    ) -> dict[str, float]:
        present = np.unique(references)
        recalls = recall_score(references, predictions, labels=present, average=None)
        return {
            f"recall_{label_names[i]}": float(recall)
            for i, recall in zip(present, recalls, strict=True)
        }


class ClassifierMetrics:
    """All metrics at once, as the Trainer's `compute_metrics`."""

    def __init__(self, label_names: list[str], recordings: np.ndarray | None = None) -> None:
        """Prepare metrics.

        Args:
            label_names: classes, in the order of their indices.
            recordings: index of each clip's recording (n_clips,); `__call__` scores the mean
                probabilities of each recording. None if each clip is one.
        """
        self.label_names = label_names
        self.recordings = recordings
        self.metrics = [
            metric(keep_in_memory=True)
            for metric in (Accuracy, UnweightedAverageRecall, MacroF1, ClassRecall)
        ]

    def __call__(self, prediction: EvalPrediction) -> dict[str, float]:
        """Score logits `(n_clips, n_classes)` against class indices `(n_clips,)`."""
        logits, labels = self.by_recording(prediction)
        return self.score(np.argmax(logits, axis=-1), labels)

    def by_recording(self, prediction: EvalPrediction) -> tuple[np.ndarray, np.ndarray]:
        """Logits `(n_recordings, n_classes)` and class indices `(n_recordings,)`."""
        logits, labels = np.asarray(prediction.predictions), np.asarray(prediction.label_ids)
        if self.recordings is None:
            return logits, labels
        first = first_windows(self.recordings)
        return logits_by_recording(logits, self.recordings), labels[first]

    def score(self, predictions: Any, references: Any) -> dict[str, float]:
        """Score class indices `(n_clips,)` against class indices `(n_clips,)`."""
        scores: dict[str, float] = {}
        for metric in self.metrics:
            names = {"label_names": self.label_names} if isinstance(metric, ClassRecall) else {}
            found = metric.compute(predictions=predictions, references=references, **names)
            scores.update(found or {})
        return scores
