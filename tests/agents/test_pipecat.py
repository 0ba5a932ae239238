"""The Pipecat example in a real pipeline."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from emo_listen import EmotionModel, LabelEvent, Session
from tests.agents.conftest import RATE

pytest.importorskip("pipecat", reason="needs pipecat-ai: run `make test-agents`")

from pipecat.frames.frames import ErrorFrame, Frame, InputAudioRawFrame, TextFrame
from pipecat.tests.utils import run_test

from examples.agents.pipecat_processor import EmotionFrame, EmotionProcessor


def sent(processor: Any, frames: list[Frame]) -> tuple[list[Frame], list[Frame]]:
    """Frames that leave a pipeline of the processor downstream and upstream."""
    down, up = asyncio.run(run_test(processor, frames_to_send=frames, start_timeout=60))
    return list(down), list(up)


def audio(block: NDArray[np.int16], rate: int = RATE) -> InputAudioRawFrame:
    return InputAudioRawFrame(audio=block.tobytes(), sample_rate=rate, num_channels=1)


def test_every_label_is_a_frame_and_every_frame_passes(
    bundled_model: EmotionModel, frames: list[NDArray[np.int16]], labels: list[LabelEvent]
) -> None:
    down, up = sent(EmotionProcessor(Session(bundled_model)), [audio(block) for block in frames])
    assert [frame.event for frame in down if isinstance(frame, EmotionFrame)] == labels
    passed = [frame.audio for frame in down if isinstance(frame, InputAudioRawFrame)]
    assert passed == [block.tobytes() for block in frames]
    assert up == []


def test_speech_until_the_end_gets_its_last_label(
    bundled_model: EmotionModel, frames: list[NDArray[np.int16]]
) -> None:
    speech = frames[:100]
    session = Session(bundled_model)
    events = [event for block in speech for event in session.push(block, RATE)] + session.finish()
    down, _ = sent(EmotionProcessor(), [TextFrame("hello"), *(audio(block) for block in speech)])
    last = [event for event in events if isinstance(event, LabelEvent)][-1]
    assert [frame.event for frame in down if isinstance(frame, EmotionFrame)][-1] == last
    assert any(isinstance(frame, TextFrame) for frame in down)


def test_a_changed_rate_is_an_error_of_the_pipeline(frames: list[NDArray[np.int16]]) -> None:
    down, up = sent(EmotionProcessor(), [audio(frames[0]), audio(frames[1], 16_000)])
    (error,) = [frame for frame in up if isinstance(frame, ErrorFrame)]
    assert "the sampling rate changed from 24000 to 16000 Hz" in error.error
    assert len([frame for frame in down if isinstance(frame, InputAudioRawFrame)]) == 2
