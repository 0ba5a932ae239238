"""A model's linear head, which turns the baseline of a voice into a shift of the logits.

A model with a head also returns an `embedding`. Its logits are
`weight @ (embedding - population) + bias`. The logits relative to another baseline need no second
run: they are `logits - weight @ (baseline - population)`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emo_listen.errors import ModelError

NEUTRAL = "neutral"
"""Label of ordinary speech."""

NEUTRAL_PRIOR = 0.8
"""Share of neutral speech if a head has no `prior`; the other labels share the rest equally.
An assumption: most speech is neutral."""

CLASS_OFFSET = 3.0
"""Logit difference between an emotion and neutral speech of the same voice if a head has no
`class_offsets`. An assumption: e^3 = 20 to 1."""

MAX_VALUE = 1e6
"""Largest absolute value in a head, far above any trained one; its products cannot overflow."""

SPEAKER_DEVIATION = 1.0
"""Standard deviation between speakers of each logit of ordinary speech if a head has no
`speaker_covariance`. An assumption."""

NOISE_DEVIATION = 1.5
"""Standard deviation within a speaker and class of each logit of one window if a head has no
`noise_covariance`. An assumption."""

MIN_PRIOR = 1e-6
"""Smallest share of a class."""

DOUBT = 0.5
"""Weight of the variance between voices, relative to the noise of the logits, for a voice that is
not yet known. With 0, 0.5 and 1, readers of LibriSpeech (validation) are labelled an emotion for
0.021, 0.013 and 0.013 of the time, and the first clip of a stream of EMO-DB is labelled correctly
in 0.67, 0.64 and 0.63 of the cases."""


def voice_temperature(unknown: float) -> float:
    """Return the divisor of a voice's logits, in addition to the model's temperature.

    The model's temperature is for an unknown voice. The better a voice is known, the more its
    logits count, and the less the prior does (moderated outputs: MacKay 1992, "The evidence
    framework applied to classification networks").

    Args:
        unknown: Share of the variation between voices that is still unknown for this one, 0 to 1.

    Returns:
        0.82 for a known voice, up to 1 for an unknown one.
    """
    return math.sqrt((1 + DOUBT * unknown) / (1 + DOUBT))


@dataclass(frozen=True)
class Head:
    """The parameters of a linear head, and statistics of voices in the space of its logits."""

    weight: NDArray[np.float64]
    """(n_labels, n): from embeddings to logits."""

    bias: NDArray[np.float64]
    """(n_labels,)"""

    population: NDArray[np.float64]
    """(n,): mean embedding of ordinary speech over speakers, the baseline inside the graph."""

    class_offsets: NDArray[np.float64]
    """(n_labels, n_labels): row c is the mean difference in logits between speech of class c and
    the same speaker's ordinary speech."""

    speaker_covariance: NDArray[np.float64]
    """(n_labels, n_labels): covariance between speakers of the logits of ordinary speech."""

    noise_covariance: NDArray[np.float64]
    """(n_labels, n_labels): covariance of a full window's logits within a speaker and class."""

    prior: NDArray[np.float64]
    """(n_labels,): share of each class in real streams; sums to 1. The logits themselves assume
    equally frequent classes, as in the acted clips of the training data."""

    @property
    def size(self) -> int:
        """Length of an embedding."""
        return len(self.population)

    @property
    def log_prior(self) -> NDArray[np.float64]:
        """Finite logarithm (n_labels,) of `prior`, which a listener adds to the scaled logits."""
        return np.log(np.maximum(self.prior, MIN_PRIOR))

    def shift(self, embedding: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the logits (n_labels,) to subtract for a voice's baseline (n,)."""
        return self.weight @ (embedding.astype(np.float64) - self.population)

    @classmethod
    def from_json(cls, values: dict[str, Any], labels: list[str]) -> Head:
        """Read `head` of `emo_listen.json`.

        Args:
            values: `weight`, `bias` and `population`; the other fields are optional and default
                to the constants of this module.
            labels: The model's labels, in the order of the logits.

        Raises:
            ModelError: a field is missing, has the wrong shape, or is not finite.
        """
        n_labels = len(labels)
        bias = _array(values, "bias", (n_labels,))
        population = _array(values, "population", (None,))
        weight = _array(values, "weight", (n_labels, len(population)))
        square = (n_labels, n_labels)
        neutral = labels.index(NEUTRAL) if NEUTRAL in labels else None
        arrays = {
            "class_offsets": _class_offsets(n_labels, neutral),
            "speaker_covariance": SPEAKER_DEVIATION**2 * np.eye(n_labels),
            "noise_covariance": NOISE_DEVIATION**2 * np.eye(n_labels),
            "prior": _prior(n_labels, neutral),
        }
        for name in arrays:
            if values.get(name) is not None:
                arrays[name] = _array(values, name, (n_labels,) if name == "prior" else square)
        for name in ("speaker_covariance", "noise_covariance"):
            _check_covariance(name, arrays[name])
        if not ((arrays["prior"] >= 0).all() and arrays["prior"].sum() > 0):
            raise ModelError("emo_listen.json: head.prior must not be negative or all zero")
        arrays["prior"] = arrays["prior"] / arrays["prior"].sum()
        return cls(weight=weight, bias=bias, population=population, **arrays)


def _class_offsets(n_labels: int, neutral: int | None) -> NDArray[np.float64]:
    offsets: NDArray[np.float64] = CLASS_OFFSET * np.eye(n_labels)
    offsets -= offsets.mean(axis=0) if neutral is None else offsets[neutral].copy()
    return offsets


def _prior(n_labels: int, neutral: int | None) -> NDArray[np.float64]:
    if neutral is None or n_labels == 1:
        return np.full(n_labels, 1 / n_labels)
    prior = np.full(n_labels, (1 - NEUTRAL_PRIOR) / (n_labels - 1))
    prior[neutral] = NEUTRAL_PRIOR
    return prior


def _array(values: dict[str, Any], name: str, shape: tuple[int | None, ...]) -> NDArray[np.float64]:
    """Return a field as an array of `shape`; None is any length from 1."""
    wanted = ", ".join("n" if length is None else str(length) for length in shape)
    try:
        array = np.array(values.get(name), dtype=np.float64)
    except (ValueError, TypeError, OverflowError) as error:
        raise ModelError(f"emo_listen.json: head.{name} is not an array of numbers") from error
    fits = array.ndim == len(shape) and all(
        found > 0 if length is None else found == length
        for found, length in zip(array.shape, shape, strict=True)
    )
    if not fits:
        raise ModelError(
            f"emo_listen.json: head.{name} has the shape {array.shape}, not ({wanted})"
        )
    if not (np.abs(array) <= MAX_VALUE).all():
        raise ModelError(
            f"emo_listen.json: head.{name} holds values that are not finite or above {MAX_VALUE:g}"
        )
    return array


def _check_covariance(name: str, matrix: NDArray[np.float64]) -> None:
    scale = np.abs(matrix).max()
    symmetric = np.allclose(matrix, matrix.T, atol=1e-6 * scale)
    if not symmetric or np.linalg.eigvalsh(matrix).min() < -1e-6 * scale or scale == 0:
        raise ModelError(f"emo_listen.json: head.{name} is not a covariance matrix")
