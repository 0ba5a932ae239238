"""What the tests of the voice agents' examples share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from emo_listen import EmotionModel, LabelEvent, Session
from emo_listen.audio import load_audio

RATE = 24_000
FRAME = RATE // 50
"""Samples in a frame of 20 ms, as both libraries send them."""


@pytest.fixture(scope="session")
def frames(sample_file: Path) -> list[NDArray[np.int16]]:
    """Speech and two seconds of silence, in frames int16 (n_samples,)."""
    speech = load_audio(sample_file, RATE)[: 12 * RATE]
    samples = np.concatenate([speech, np.zeros(2 * RATE, np.float32)])
    pcm = np.round(samples * 32767).astype(np.int16)
    return [pcm[start : start + FRAME] for start in range(0, len(pcm), FRAME)]


@pytest.fixture(scope="session")
def labels(bundled_model: EmotionModel, frames: list[NDArray[np.int16]]) -> list[LabelEvent]:
    """The labels of the speech."""
    session = Session(bundled_model)
    events = [event for frame in frames for event in session.push(frame, RATE)] + session.finish()
    found: list[LabelEvent] = [event for event in events if isinstance(event, LabelEvent)]
    assert len(found) > 2
    return found
