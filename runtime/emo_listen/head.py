"""A model's linear head: from the baseline of a voice to the shift of its logits.

A model with a head returns, beside its logits, an `embedding`. Its logits are
`weight @ (embedding - population) + bias`. Those relative to another baseline follow without a
second run: `logits - weight @ (baseline - population)`.
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
"""Share of speech that is neutral where a head states no `prior`; the other labels share the rest.
An assumption: most speech is ordinary."""

CLASS_OFFSET = 3.0
"""Logit by which speech of a class exceeds neutral speech of the same voice where a head states no
`class_offsets`. An assumption: e^3 = 20 to 1."""

LARGEST = 1e6
"""Largest number of a head, far above any that is trained; products of it cannot overflow."""

SPEAKER_DEVIATION = 1.0
"""Standard deviation between speakers of each logit of ordinary speech where a head states no
`speaker_covariance`. An assumption."""

NOISE_DEVIATION = 1.5
"""Standard deviation within a speaker and class of each logit of one window where a head states no
`noise_covariance`. An assumption."""


LEAST_PRIOR = 1e-6
"""Share that the rarest class has at least."""

DOUBT = 0.5
"""How much of what voices differ by counts as noise in the logits of a voice that is little known.
Of ordinary readers (LibriSpeech validation) 0.021 of the time is called an emotion with 0, 0.013
with 0.5 and 1; the first clip of a stream of EMO-DB is told rightly in 0.67, 0.64 and 0.63."""


def voice_temperature(unknown: float) -> float:
    """Return what a voice's logits are divided by, beside the model's temperature.

    The model's temperature is that of a voice of which nothing is known. The better a voice is
    known, the more its logits say, and the less the prior counts (moderated outputs: MacKay 1992,
    "The evidence framework applied to classification networks").

    Args:
        unknown: share of what voices differ by that is unknown of this one, 0 to 1.

    Returns:
        0.82 for a voice that is known, 1 for one that is not.
    """
    return math.sqrt((1 + DOUBT * unknown) / (1 + DOUBT))


@dataclass(frozen=True)
class Head:
    """The numbers of a linear head, and what is known of voices in the space of its logits."""

    weight: NDArray[np.float64]
    """(n_labels, n): from embeddings to logits."""

    bias: NDArray[np.float64]
    """(n_labels,)"""

    population: NDArray[np.float64]
    """(n,): mean embedding of ordinary speech over speakers, the baseline inside the graph."""

    class_offsets: NDArray[np.float64]
    """(n_labels, n_labels): row c is the mean logit shift of class c's speech relative to the same
    speaker's ordinary speech."""

    speaker_covariance: NDArray[np.float64]
    """(n_labels, n_labels): of the logit shift of ordinary speech between speakers."""

    noise_covariance: NDArray[np.float64]
    """(n_labels, n_labels): of the logits of one whole window within a speaker and class."""

    prior: NDArray[np.float64]
    """(n_labels,): share of each class in streams as they are; adds up to 1. The logits themselves
    take all classes for equally frequent, as they are among acted clips."""

    @property
    def size(self) -> int:
        """Number of values of an embedding."""
        return len(self.population)

    @property
    def log_prior(self) -> NDArray[np.float64]:
        """Logarithm (n_labels,) of `prior`, finite: what a listener adds to the scaled logits."""
        return np.log(np.maximum(self.prior, LEAST_PRIOR))

    def shift(self, embedding: NDArray[np.floating]) -> NDArray[np.float64]:
        """Logits (n_labels,) to take off for a baseline (n,) other than the population's."""
        return self.weight @ (embedding.astype(np.float64) - self.population)

    @classmethod
    def from_json(cls, values: dict[str, Any], labels: list[str]) -> Head:
        """Read `head` of `emo_listen.json`.

        Args:
            values: `weight`, `bias` and `population`, and optionally the other fields, for which
                the constants of this module stand in.
            labels: The model's labels, in the order of the logits.

        Raises:
            ModelError: a field is absent, or not of the right shape, or not finite.
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
            raise ModelError("emo_listen.json: head.prior must hold shares of 0 or more")
        arrays["prior"] = arrays["prior"] / arrays["prior"].sum()
        return cls(weight=weight, bias=bias, population=population, **arrays)


def _class_offsets(n_labels: int, neutral: int | None) -> NDArray[np.float64]:
    offsets = CLASS_OFFSET * np.eye(n_labels)
    if neutral is None:
        return offsets - offsets.mean(axis=0)
    return offsets - offsets[neutral]


def _prior(n_labels: int, neutral: int | None) -> NDArray[np.float64]:
    if neutral is None or n_labels == 1:
        return np.full(n_labels, 1 / n_labels)
    prior = np.full(n_labels, (1 - NEUTRAL_PRIOR) / (n_labels - 1))
    prior[neutral] = NEUTRAL_PRIOR
    return prior


def _array(values: dict[str, Any], name: str, shape: tuple[int | None, ...]) -> NDArray[np.float64]:
    """Return a field as an array of `shape`, whose None is any length from 1 up."""
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
    if not (np.abs(array) <= LARGEST).all():
        raise ModelError(
            f"emo_listen.json: head.{name} holds values that are not finite, or above {LARGEST:g}"
        )
    return array


def _check_covariance(name: str, matrix: NDArray[np.float64]) -> None:
    scale = np.abs(matrix).max()
    symmetric = np.allclose(matrix, matrix.T, atol=1e-6 * scale)
    if not symmetric or np.linalg.eigvalsh(matrix).min() < -1e-6 * scale or scale == 0:
        raise ModelError(f"emo_listen.json: head.{name} is not a covariance")
