"""The baseline of one voice: what its ordinary speech sounds like to one model."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from emo_listen.errors import AudioInputError, BaselineError
from emo_listen.sound.rates import check_rate

if TYPE_CHECKING:
    from emo_listen.model import EmotionModel

FILE_TYPE = "emo-listen baseline"
"""Value of `type` in a baseline's file."""

LARGEST_FILE = 1 << 20
"""Bytes of the largest file that is read as a baseline: an embedding takes some kilobytes."""


@dataclass(frozen=True, eq=False)
class Baseline:
    """The mean embedding of one voice's ordinary speech.

    Judge this voice relative to it with `model.predict(samples, rate, baseline=baseline)`, `listen`
    or `--baseline FILE`.
    """

    embedding: NDArray[np.float32]
    """(n,): mean over the speech."""

    seconds: float
    """Speech that it is the mean of, in seconds."""

    model: str
    """Name of the model whose embedding it is."""

    sha256: str
    """SHA-256 in hex of that model's network file."""

    @classmethod
    def from_speech(
        cls,
        model: EmotionModel,
        speech: Sequence[NDArray[np.float32]],
        sampling_rate: int,
    ) -> Baseline:
        """Take the baseline of a voice from clips of its ordinary speech.

        Clips that are longer than the model's window are heard in equal parts of at most that.

        Args:
            model: The model that will use it.
            speech: Mono clips, each float32 (n_samples,); 0.1 s and more each, 5 to 20 s in all.
            sampling_rate: Their rate in Hz.

        Raises:
            AudioInputError: there is no clip, one is not mono, too short, or not finite, or the
                rate is not usable.
            BaselineError: the model has no embedding.
        """
        if not len(speech):
            raise AudioInputError("a baseline needs at least one clip of ordinary speech")
        sampling_rate = check_rate(sampling_rate)
        total = np.zeros(model.require_head().size)
        samples = 0
        for clip in speech:
            parts = math.ceil(len(clip) / (model.settings.window * sampling_rate))
            for part in np.array_split(clip, max(parts, 1)):
                total += len(part) * model.embed(part, sampling_rate)
                samples += len(part)
        return cls.of(model, total / samples, samples / sampling_rate)

    @classmethod
    def of(cls, model: EmotionModel, embedding: NDArray[np.floating], seconds: float) -> Baseline:
        """Make a baseline from a mean embedding (n,) of `seconds` of speech."""
        return cls(embedding.astype(np.float32), round(seconds, 3), model.name, model.sha256)

    def save(self, path: str | Path) -> None:
        """Write a small JSON file.

        Raises:
            BaselineError: the file cannot be written.
        """
        values = {
            "type": FILE_TYPE,
            "model": self.model,
            "sha256": self.sha256,
            "seconds": self.seconds,
            "embedding": [float(value) for value in self.embedding],
        }
        try:
            Path(path).write_text(json.dumps(values) + "\n", encoding="utf-8")
        except OSError as error:
            raise BaselineError(f"{path} cannot be written: {error.strerror}") from error

    @classmethod
    def load(cls, path: str | Path) -> Baseline:
        """Read a file that `save` or `emo-listen enroll` wrote.

        Raises:
            BaselineError: the file is absent or not a baseline.
        """
        try:
            with Path(path).open("rb") as file:
                content = file.read(LARGEST_FILE + 1)
        except (OSError, ValueError) as error:  # A name that no file can have is a ValueError.
            raise BaselineError(
                f"{path} cannot be read: {getattr(error, 'strerror', error)}. Make a baseline with "
                "emo-listen enroll --output FILE"
            ) from error
        try:
            values = json.loads(content) if len(content) <= LARGEST_FILE else {}
            if values["type"] != FILE_TYPE:
                raise ValueError("another type")
            with np.errstate(over="ignore"):
                embedding = np.array(values["embedding"], dtype=np.float64).astype(np.float32)
            baseline = cls(
                embedding, float(values["seconds"]), str(values["model"]), str(values["sha256"])
            )
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
            raise BaselineError(
                f"{path} is not a baseline: make one with emo-listen enroll --output FILE"
            ) from error
        usable = embedding.ndim == 1 and len(embedding) and np.isfinite(embedding).all()
        if not usable or not (math.isfinite(baseline.seconds) and baseline.seconds > 0):
            raise BaselineError(f"{path} holds no usable baseline: enroll again")
        return baseline
