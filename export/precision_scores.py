"""Score several backends of one model on the same recordings."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from emo_listen import EmotionModel
from emo_listen.errors import EmoListenError
from train.corpus.long_recordings import over_windows
from train.corpus.recordings import Clip, check_labels
from train.evaluation.metrics import ClassifierMetrics

Labeller = Callable[[NDArray[np.float32]], str]
"""Returns the label of samples `(n_samples,)` at the model's rate."""

Predictor = Callable[[NDArray[np.float32]], NDArray[np.float64]]
"""Returns the probabilities `(n_labels,)` of samples `(n_samples,)` at the model's rate."""

Scores = dict[str, dict[str, float]]
"""What `score_labels` returns, by backend."""


class AccuracyDropError(EmoListenError, ValueError):
    """int8 loses more accuracy than is allowed."""


def predictor_of(model: EmotionModel) -> Predictor:
    """Return a function that predicts recordings of any length with `model`."""

    def probabilities(samples: NDArray[np.float32]) -> NDArray[np.float64]:
        return np.array(list(model.predict(samples, model.sampling_rate).scores.values()))

    return over_windows(probabilities, model.sampling_rate)


def labeller_of(model: EmotionModel) -> Labeller:
    """Return a function that labels recordings of any length with `model`."""
    predict = predictor_of(model)
    return lambda samples: model.labels[int(predict(samples).argmax())]


def score_labels(
    label: Labeller, clips: list[Clip], labels: list[str], name: str
) -> dict[str, float]:
    """Accuracy, UAR, macro F1 and each class's recall (fractions) on `clips`.

    Args:
        label: run on each clip at its true length.
        clips: recordings with their true labels.
        labels: all classes, in the model's order.
        name: shown on the progress bar.

    Raises:
        CorpusError: a clip has a class that is not in `labels`.
    """
    check_labels(clips, labels)
    predicted = [
        labels.index(label(clip.samples)) for clip in tqdm(clips, desc=f"score {name}", unit="clip")
    ]
    expected = [labels.index(clip.label) for clip in clips]
    return {**ClassifierMetrics(labels).score(predicted, expected), "clips": len(clips)}


def score_rows(scores: Scores, split: str) -> list[list[str]]:
    """Heading and rows of a table of scores."""
    return [
        [f"{split} split", "accuracy", "UAR", "clips"],
        *(
            [name, f"{score['accuracy']:.4f}", f"{score['uar']:.4f}", str(score["clips"])]
            for name, score in scores.items()
        ),
    ]


def accuracy_drop(scores: Scores, allowed: float) -> AccuracyDropError | None:
    """Return an error if int8 loses more than `allowed` percentage points against PyTorch."""
    drop = 100 * (scores["pytorch"]["accuracy"] - scores["int8"]["accuracy"])
    if drop <= allowed + 1e-9:
        return None
    return AccuracyDropError(
        f"int8 loses {drop:.2f} percentage points of accuracy against PyTorch "
        f"({scores['int8']['accuracy']:.4f} instead of {scores['pytorch']['accuracy']:.4f}); at "
        f"most {allowed:g} are allowed. Only fp32 was written. Use it, try --quantization mixed, "
        "or allow more with --max-accuracy-drop."
    )
