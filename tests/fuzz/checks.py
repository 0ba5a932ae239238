"""What must hold of whatever a mutated model says."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emo_listen import EmotionModel, listen
from emo_listen.errors import EmoListenError
from emo_listen.sinks.jsonl import event_row

RATE = 16000
SOUND = (0.1 * np.sin(np.arange(RATE) ** 1.3)).astype(np.float32)
"""A second of sound, mono, float32."""


@dataclass
class Sound:
    """A source of `SOUND`."""

    live: bool = False
    sampling_rate: int = RATE
    blocks: list[NDArray[np.float32]] = field(default_factory=lambda: [SOUND])

    def __iter__(self) -> Iterator[NDArray[np.float32]]:
        return iter(self.blocks)

    def stop(self) -> None:
        """There is nothing to end."""


def try_model(folder: Path) -> str:
    """Load a model, and hear with it: what it says are probabilities, and JSON."""
    try:
        model = EmotionModel.load(folder)
        scores = model.predict(SOUND, RATE).scores
        events = list(listen(Sound(), model=model, vad=False, emit="all"))
    except EmoListenError as error:
        assert str(error).isprintable()
        return "refused"
    assert math.isclose(sum(scores.values()), 1, abs_tol=1e-3), scores
    assert all(0 <= score <= 1 for score in scores.values()), scores
    for event in events:
        json.dumps(event_row(event), allow_nan=False, ensure_ascii=False).encode()
    return "taken"
