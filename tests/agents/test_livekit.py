"""The LiveKit example in a real agent session, with stand-ins for the services of others."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from emo_listen import EmotionModel, LabelEvent
from tests.agents.conftest import RATE

pytest.importorskip("livekit.agents", reason="needs livekit-agents: run `make test-agents`")

from livekit import rtc
from livekit.agents import AgentSession, llm, stt
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS
from livekit.agents.voice.io import AudioInput

from examples.agents.livekit_emotion import EmotionAgent

TIMEOUT = 120.0  # seconds


class Frames(AudioInput):
    """Audio that the agent receives, without a room."""

    def __init__(self, frames: list[NDArray[np.int16]]) -> None:
        super().__init__(label="frames")
        self.waiting = list(frames)

    async def __anext__(self) -> rtc.AudioFrame:
        if not self.waiting:
            await asyncio.Event().wait()
        await asyncio.sleep(0)
        block = self.waiting.pop(0)
        return rtc.AudioFrame(block.tobytes(), RATE, 1, len(block))


class Words(stt.STT):
    """Recognises the same words once it has received `n_frames`."""

    def __init__(self, n_frames: int) -> None:
        super().__init__(capabilities=stt.STTCapabilities(streaming=True, interim_results=False))
        self.n_frames = n_frames

    async def _recognize_impl(self, *_: Any, **__: Any) -> stt.SpeechEvent:
        raise NotImplementedError

    def stream(self, **_: Any) -> stt.RecognizeStream:
        return WordStream(stt=self, conn_options=DEFAULT_API_CONNECT_OPTIONS)


class WordStream(stt.RecognizeStream):
    async def _run(self) -> None:
        assert isinstance(self._stt, Words)
        count = 0
        async for _ in self._input_ch:
            count += 1
            if count == self._stt.n_frames:
                words = stt.SpeechData(language="en", text="Where is my parcel?")
                for kind in ("START_OF_SPEECH", "FINAL_TRANSCRIPT", "END_OF_SPEECH"):
                    event = stt.SpeechEvent(stt.SpeechEventType[kind], alternatives=[words])
                    self._event_ch.send_nowait(event)


class Writer(llm.LLM):
    """Keeps what it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: asyncio.Future[list[tuple[str, str | None]]] = asyncio.Future()

    def chat(self, *, chat_ctx: llm.ChatContext, **_: Any) -> llm.LLMStream:
        messages = [(message.role, message.text_content) for message in chat_ctx.messages()]
        if not self.asked.done():
            self.asked.set_result(messages)
        return Reply(self, chat_ctx=chat_ctx, tools=[], conn_options=DEFAULT_API_CONNECT_OPTIONS)


class Reply(llm.LLMStream):
    async def _run(self) -> None:
        delta = llm.ChoiceDelta(role="assistant", content="On its way.")
        self._event_ch.send_nowait(llm.ChatChunk(id="1", delta=delta))


async def converse(model: EmotionModel, frames: list[NDArray[np.int16]]) -> tuple[Any, Any]:
    """What the LLM is asked, and the agent."""
    writer = Writer()
    agent = EmotionAgent(emotion_model=model, instructions="Be kind.")
    session: AgentSession[None] = AgentSession(
        stt=Words(len(frames)), llm=writer, vad=None, turn_handling={"turn_detection": "stt"}
    )
    session.input.audio = Frames(frames)
    await session.start(agent, record=False)
    try:
        return await asyncio.wait_for(writer.asked, TIMEOUT), agent
    finally:
        await session.aclose()


def test_the_llm_is_told_how_the_turn_sounded(
    bundled_model: EmotionModel, frames: list[NDArray[np.int16]], labels: list[LabelEvent]
) -> None:
    messages, agent = asyncio.run(converse(bundled_model, frames))
    assert ("user", "Where is my parcel?") in messages
    told = [text for role, text in messages if role == "system" and "voice" in text]
    assert told == [f"The user's voice sounds like {labels[-1].label}; it may be wrong."]
    assert agent.emotion is None
