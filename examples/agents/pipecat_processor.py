"""Tell a Pipecat pipeline which emotion the user's voice carries.

The processor passes every frame on, and adds an `EmotionFrame` for each label: provisional while
the user speaks, final at the end. Put it behind the input of a transport with one user:

    pip install pipecat-ai
    pipeline = Pipeline([transport.input(), EmotionProcessor(), stt, ...])

A processor behind it, for example in front of the LLM, gets the label:

    if isinstance(frame, EmotionFrame):
        print(frame.event.label, frame.event.confidence)
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from pipecat.frames.frames import EndFrame, Frame, InputAudioRawFrame, SystemFrame
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor

from emo_listen import Event, ProvisionalEvent, SegmentEvent, Session


@dataclass
class EmotionFrame(SystemFrame):
    """A label of the user's voice. As a system frame, it outlives an interruption of the bot."""

    event: ProvisionalEvent | SegmentEvent


class EmotionProcessor(FrameProcessor):
    """Adds an `EmotionFrame` to the pipeline for each label of the user's voice."""

    def __init__(self, session: Session | None = None, **options: Any) -> None:
        """Listen in `session`, a new one of the bundled model where None."""
        super().__init__(**options)
        self.session = session or Session()

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Pass a frame on, and process its audio."""
        await super().process_frame(frame, direction)
        if isinstance(frame, EndFrame):  # The last labels go before it.
            await self._push(await asyncio.to_thread(self.session.finish))
        await self.push_frame(frame, direction)
        if isinstance(frame, InputAudioRawFrame):
            samples = np.frombuffer(frame.audio, np.int16).reshape(-1, frame.num_channels)
            # In a thread, since a prediction takes some 10 ms.
            events = await asyncio.to_thread(self.session.push, samples, frame.sample_rate)
            await self._push(events)

    async def _push(self, events: Iterable[Event]) -> None:
        for event in events:
            if isinstance(event, ProvisionalEvent | SegmentEvent):
                await self.push_frame(EmotionFrame(event))
