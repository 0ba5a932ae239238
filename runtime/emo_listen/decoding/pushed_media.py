"""Opus in Ogg or WebM whose bytes come piece by piece, as browsers record it; needs PyAV.

FFmpeg pulls bytes by a call that must wait for them. So it runs in a thread of its own, which takes
turns with the caller: it works only while the caller waits for it.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import Any, Literal

from emo_listen.decoding.base import Block, DamageError, reason
from emo_listen.decoding.media import frame_block
from emo_listen.extras import import_extra

OPUS_RATE = 48_000
"""Sampling rate of decoded Opus, in Hz."""

READ_BYTES = 1024
"""Bytes that FFmpeg asks for at a time; it gets fewer where fewer have come."""

_STARTS = {b"OggS": "ogg", b"\x1a\x45\xdf\xa3": "matroska"}
"""First four bytes of the containers, and FFmpeg's names for them."""

_CLOSE = None
"""Tells the decoder to end."""


class PushedOpus:
    """Decodes Opus at 48 kHz from bytes in pieces of any size."""

    def __init__(self) -> None:
        """Wait for bytes.

        Raises:
            MissingExtraError: PyAV is not installed.
        """
        self._av: Any = import_extra("media", "av")
        self._start = b""
        self._form = ""
        self._thread: threading.Thread | None = None
        self._turns: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Block | Literal["hungry", "end"] | DamageError] = (
            queue.SimpleQueue()
        )
        self._unread = b""
        self._state: Literal["hungry", "end"] = "hungry"
        self._ended = False
        self._closed = False

    def push(self, data: bytes) -> Iterator[Block]:
        """Take bytes, and yield the blocks, float32 (n_samples, n_channels), up to their end.

        Raises:
            DamageError: They are not Opus in Ogg or WebM, or are damaged.
        """
        if self._thread is None:
            self._start += data
            if len(self._start) < 4:
                return
            data = self._start
            self._begin()
        if data:
            yield from self._take_turns(data)

    def finish(self) -> Iterator[Block]:
        """Yield the blocks that are left after the last bytes.

        Raises:
            DamageError: The stream ends early.
        """
        self._ended = True
        if self._thread is not None:
            yield from self._take_turns(b"")
        elif self._start:
            raise DamageError("it is not Opus in Ogg or WebM")

    def close(self) -> None:
        """End the decoder."""
        self._ended = self._closed = True
        self._turns.put(_CLOSE)

    def _begin(self) -> None:
        form = _STARTS.get(self._start[:4])
        if form is None:
            raise DamageError("it is not Opus in Ogg or WebM")
        self._form = form
        self._thread = threading.Thread(target=self._decode, name="opus", daemon=True)
        self._thread.start()
        answer = self._answers.get()
        if isinstance(answer, DamageError):
            self._state = "end"
            raise answer

    def _take_turns(self, data: bytes) -> Iterator[Block]:
        """Let the decoder work on `data`, where none is the end, until it needs more."""
        if self._state == "end":
            return
        self._turns.put(data)
        while True:
            answer = self._answers.get()
            if isinstance(answer, DamageError):
                self._state = "end"
                raise answer
            if isinstance(answer, str):
                self._state = answer
                return
            yield answer
            self._turns.put(b"")  # Go on.

    def read(self, size: int) -> bytes:
        """Return some bytes, at most `size`, or none at the end; called by FFmpeg in its thread."""
        if not self._unread and not self._ended:
            self._answers.put("hungry")
            self._unread = self._turns.get() or b""
        data, self._unread = self._unread[:size], self._unread[size:]
        return data

    def _decode(self) -> None:
        """Decode until the bytes end, in a thread."""
        answer: Literal["end"] | DamageError = DamageError("the decoder failed")
        try:
            with self._av.open(self, format=self._form, buffer_size=READ_BYTES) as container:
                streams = container.streams.audio
                if not streams or streams[0].codec_context.name not in ("opus", "libopus"):
                    raise DamageError("it is not Opus in Ogg or WebM")
                for frame in container.decode(streams[0]):
                    if frame.samples and not self._closed:
                        self._answers.put(frame_block(frame))
                        self._turns.get()
            answer = "end"
        except (self._av.FFmpegError, OSError, ValueError) as error:
            answer = DamageError(reason(error))
        except DamageError as error:
            answer = error
        finally:
            self._answers.put(answer)
