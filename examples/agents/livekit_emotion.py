"""A LiveKit agent whose LLM is told how the user sounds.

    pip install livekit-agents

Derive your agent from `EmotionAgent` in place of `Agent`. It needs speech recognition (`stt`),
since it listens to the audio on its way there:

    session = AgentSession(stt=..., llm=..., tts=...)
    await session.start(EmotionAgent(instructions="You trace parcels."), room=ctx.room)
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from typing import Any

import numpy as np
from livekit import rtc
from livekit.agents import Agent, ModelSettings, llm, stt

from emo_listen import EmotionModel, Event, ProvisionalEvent, SegmentEvent, Session


class EmotionAgent(Agent):
    """An agent that hears the user's voice, not only the words.

    Attributes:
        emotion: The last label of the user's turn, provisional or final; None before the first.
    """

    def __init__(self, *, emotion_model: EmotionModel | None = None, **options: Any) -> None:
        """Use `emotion_model`, or the bundled one; `options` are those of `Agent`."""
        super().__init__(**options)
        self.emotion_model = emotion_model or EmotionModel.load()
        self.emotion: ProvisionalEvent | SegmentEvent | None = None

    async def stt_node(
        self, audio: AsyncIterable[rtc.AudioFrame], model_settings: ModelSettings
    ) -> AsyncIterator[stt.SpeechEvent]:
        """Recognise speech as `Agent` does, and listen to the same audio."""
        async for event in Agent.default.stt_node(self, self._heard(audio), model_settings):
            yield event

    async def _heard(self, audio: AsyncIterable[rtc.AudioFrame]) -> AsyncIterator[rtc.AudioFrame]:
        session = Session(self.emotion_model)
        async for frame in audio:
            yield frame
            samples = np.frombuffer(frame.data, np.int16).reshape(-1, frame.num_channels)
            # In a thread, since a prediction takes some 10 ms.
            self._note(await asyncio.to_thread(session.push, samples, frame.sample_rate))
        self._note(await asyncio.to_thread(session.finish))

    def _note(self, events: Iterable[Event]) -> None:
        for event in events:
            if isinstance(event, ProvisionalEvent | SegmentEvent):
                self.emotion = event

    async def on_user_turn_completed(
        self, turn_ctx: llm.ChatContext, new_message: llm.ChatMessage
    ) -> None:
        """Tell the LLM how the turn sounded, unless that is uncertain."""
        if self.emotion is not None and self.emotion.label != "uncertain":
            words = f"The user's voice sounds like {self.emotion.label}; it may be wrong."
            turn_ctx.add_message(role="system", content=words)
        self.emotion = None
