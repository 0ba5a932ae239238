"""Bytes of one stream that were received and wait for a worker."""

from __future__ import annotations

import asyncio
from collections import deque


class Inbox:
    """A queue of bytes, bounded by making the sender wait. Used only in the event loop."""

    def __init__(self, limit: int) -> None:
        """Let `put` wait while `limit` bytes or more are queued."""
        self.size = 0
        """Queued bytes."""
        self.ended = False
        """Whether no more will come."""
        self._limit = limit
        self._items: deque[tuple[bytes, float]] = deque()
        self._changed = asyncio.Event()

    async def put(self, data: bytes, now: float) -> None:
        """Queue bytes that came at `now`, in seconds; then wait until there is room for more."""
        if data:
            self._items.append((data, now))
            self.size += len(data)
            self._changed.set()
        while self.size >= self._limit and not self.ended:
            self._changed.clear()
            await self._changed.wait()

    def end(self) -> None:
        """Accept no more: `take` returns what is queued, and then nothing."""
        self.ended = True
        self._changed.set()

    async def take(self, most: int) -> tuple[bytes, float]:
        """Wait for bytes; return `most` of them at most, none at the end, and when they came."""
        while not self._items and not self.ended:
            self._changed.clear()
            await self._changed.wait()
        taken: list[bytes] = []
        came = self._items[0][1] if self._items else 0.0
        room = most
        while self._items and room:
            data, at = self._items.popleft()
            if len(data) > room:
                self._items.appendleft((data[room:], at))
                data = data[:room]
            taken.append(data)
            room -= len(data)
        self.size -= most - room
        self._changed.set()
        return b"".join(taken), came
