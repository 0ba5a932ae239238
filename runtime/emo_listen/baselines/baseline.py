"""The baseline of one voice: the mean embedding of its ordinary speech in one model."""

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
"""Value of `type` in a baseline file."""

MAX_FILE_BYTES = 1 << 20
"""Maximum size of a baseline file; an embedding takes some kilobytes."""


@dataclass(frozen=True, eq=False)
class Baseline:
    """The mean embedding of one voice's ordinary speech.

    Use it with `model.predict(samples, rate, baseline=baseline)`, `listen(baseline=baseline)` or
    `--baseline FILE`.
    """

    embedding: NDArray[np.float32]
    """(n,): mean over the speech."""

    seconds: float
    """Length of the speech, in seconds."""

    model: str
    """Name of the model that computed it."""

    sha256: str
    """SHA-256 of that model's network file in hex."""

    @classmethod
    def from_speech(
        cls,
        model: EmotionModel,
        speech: Sequence[NDArray[np.float32]],
        sampling_rate: int,
    ) -> Baseline:
        """Compute the baseline of a voice from clips of its ordinary speech.

        Clips longer than the model's window are split into equal parts.

        Args:
            model: The model that will use the baseline.
            speech: Mono clips, each float32 (n_samples,), 0.1 s or longer; 5 to 20 s in total.
            sampling_rate: Sampling rate of the clips, in Hz.

        Raises:
            AudioInputError: there are no clips, or one is not mono, too short, or not finite, or
                the sampling rate is unusable.
            BaselineError: the model does not support baselines.
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
        """Create a baseline from the mean embedding (n,) of `seconds` of speech."""
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
            BaselineError: the file does not exist or is not a baseline.
        """
        try:
            with Path(path).open("rb") as file:
                content = file.read(MAX_FILE_BYTES + 1)
        except (OSError, ValueError) as error:  # ValueError: an impossible file name.
            raise BaselineError(
                f"{path} cannot be read: {getattr(error, 'strerror', error)}. Create a baseline "
                "with emo-listen enroll --output FILE"
            ) from error
        try:
            values = json.loads(content) if len(content) <= MAX_FILE_BYTES else {}
            if values["type"] != FILE_TYPE:
                raise ValueError("another type")
            with np.errstate(over="ignore"):
                embedding = np.array(values["embedding"], dtype=np.float64).astype(np.float32)
            baseline = cls(
                embedding, float(values["seconds"]), str(values["model"]), str(values["sha256"])
            )
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
            raise BaselineError(
                f"{path} is not a baseline: create one with emo-listen enroll --output FILE"
            ) from error
        usable = embedding.ndim == 1 and len(embedding) and np.isfinite(embedding).all()
        if not usable or not (math.isfinite(baseline.seconds) and baseline.seconds > 0):
            raise BaselineError(f"{path} contains no usable baseline: enroll again")
        return baseline
