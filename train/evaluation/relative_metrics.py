"""Metrics of a classifier relative to voices' ordinary speech, for each corpus."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from transformers import EvalPrediction

from train.evaluation.metrics import ClassifierMetrics


class RelativeMetrics(ClassifierMetrics):
    """The usual metrics, and those of each corpus with and without a voice's baseline."""

    def __init__(
        self,
        label_names: list[str],
        recordings: NDArray[np.int64],
        neutral: str,
        corpora: list[str],
        speakers: list[str],
    ) -> None:
        """Prepare metrics.

        Args:
            label_names: classes, in the order of their indices.
            recordings: index of each clip's recording (n_clips,).
            neutral: label of ordinary speech.
            corpora: corpus of each recording (n_recordings,).
            speakers: speaker of each recording (n_recordings,).
        """
        super().__init__(label_names, recordings)
        self.neutral = label_names.index(neutral)
        self.corpora = np.array(corpora)
        self.speakers = np.array(speakers)

    def __call__(self, prediction: EvalPrediction) -> dict[str, float]:
        """Score logits `(n_clips, n_classes)` against class indices `(n_clips,)`.

        Adds for each corpus `<corpus>_uar`, `<corpus>_uar_relative`, and two kinds of errors
        relative to the voice: `<corpus>_false_emotion`, the share of neutral recordings classified
        as emotional, and `<corpus>_missed_emotion`, that of emotional ones classified as neutral.
        """
        logits, labels = self.by_recording(prediction)
        scores = self.score(logits.argmax(axis=1), labels)
        shifted = relative_logits(logits, labels, self.speakers, self.neutral)
        for corpus in np.unique(self.corpora):
            rows = self.corpora == corpus
            known = rows & np.isfinite(shifted[:, 0])
            alone = self.score(logits[rows].argmax(axis=1), labels[rows])
            scores[f"{corpus}_uar"] = alone["uar"]
            if not known.any():
                continue
            found = shifted[known].argmax(axis=1)
            scores[f"{corpus}_uar_relative"] = self.score(found, labels[known])["uar"]
            ordinary = labels[known] == self.neutral
            if ordinary.any():
                wrong = found[ordinary] != self.neutral
                scores[f"{corpus}_false_emotion"] = float(wrong.mean())
            if not ordinary.all():
                missed = found[~ordinary] == self.neutral
                scores[f"{corpus}_missed_emotion"] = float(missed.mean())
        return scores


def relative_logits(
    logits: NDArray[np.float32],
    labels: NDArray[np.int64],
    speakers: NDArray[np.str_],
    neutral: int,
) -> NDArray[np.float32]:
    """Logits (n, n_classes) minus the mean logits of the speaker's other ordinary clips.

    The population's mean, that of all speakers' means, is added. NaN if a speaker has no other
    ordinary clip.
    """
    ordinary = labels == neutral
    means = [logits[(speakers == s) & ordinary].mean(axis=0) for s in np.unique(speakers[ordinary])]
    population = np.mean(means, axis=0)
    shifted = np.full_like(logits, np.nan)
    for row, speaker in enumerate(speakers):
        others = (speakers == speaker) & ordinary
        others[row] = False
        if others.any():
            shifted[row] = logits[row] - logits[others].mean(axis=0) + population
    return shifted
