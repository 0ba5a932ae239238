"""Score several ways to run one model on the same recordings."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from emo_listen import EmotionModel
from emo_listen.errors import EmoListenError
from train.corpus.long_recordings import over_windows
from train.corpus.recordings import Clip, check_labels
from train.evaluation.metrics import ClassifierMetrics

Predictor = Callable[[NDArray[np.float32]], str]
"""Gives the label of samples `(n_samples,)` at the model's own rate."""

Scores = dict[str, dict[str, float]]
"""What `score_labels` gives, by predictor."""


class AccuracyDropError(EmoListenError, ValueError):
    """An int8 model that loses more accuracy than is allowed."""


def label_by(model: EmotionModel) -> Predictor:
    """Return what gives the most probable label by `model`, of recordings of any length."""

    def probabilities(samples: NDArray[np.float32]) -> NDArray[np.float64]:
        return np.array(list(model.predict(samples, model.sampling_rate).scores.values()))

    mean = over_windows(probabilities, model.sampling_rate)
    return lambda samples: model.labels[int(mean(samples).argmax())]


def score_labels(answers: list[str], clips: list[Clip], labels: list[str]) -> dict[str, float]:
    """Accuracy, UAR, macro F1 and each class's recall (fractions) of `answers` on `clips`.

    Args:
        answers: one label for each clip.
        clips: recordings with their true labels.
        labels: all classes, in the model's order.
    """
    score = ClassifierMetrics(labels).score(
        [labels.index(answer) for answer in answers],
        [labels.index(clip.label) for clip in clips],
    )
    return {**score, "clips": len(clips)}


def score_predictors(
    predictors: dict[str, Predictor], clips: list[Clip], labels: list[str]
) -> Scores:
    """Score each predictor on `clips`, each run at its true length.

    Raises:
        CorpusError: a clip has a class that is not in `labels`.
    """
    check_labels(clips, labels)
    return {
        name: score_labels(
            [predict(clip.samples) for clip in tqdm(clips, desc=f"score {name}", unit="clip")],
            clips,
            labels,
        )
        for name, predict in predictors.items()
    }


def print_scores(scores: Scores, split: str) -> None:
    """Print the scores as a table."""
    table = Table(title=f"Scores on the {split} split")
    table.add_column("")
    for heading in ("accuracy", "UAR", "clips"):
        table.add_column(heading, justify="right")
    for name, score in scores.items():
        table.add_row(name, f"{score['accuracy']:.4f}", f"{score['uar']:.4f}", str(score["clips"]))
    Console().print(table)


def accuracy_drop(scores: Scores, allowed: float) -> AccuracyDropError | None:
    """Tell whether int8 loses more than `allowed` percentage points against PyTorch."""
    drop = 100 * (scores["pytorch"]["accuracy"] - scores["int8"]["accuracy"])
    if drop <= allowed + 1e-9:
        return None
    return AccuracyDropError(
        f"int8 loses {drop:.2f} percentage points of accuracy against PyTorch "
        f"({scores['int8']['accuracy']:.4f} against {scores['pytorch']['accuracy']:.4f}), and at "
        f"most {allowed:g} may be lost: only fp32 was written. Use fp32, try --quantization mixed, "
        "or allow more with --max-accuracy-drop."
    )
