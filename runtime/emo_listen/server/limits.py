"""What one client may cost: sizes, rates and times."""

from __future__ import annotations

from dataclasses import dataclass

SPEECH_SHARE = 0.75
"""Share of the measured speed that streams may use. The rest is for the network and for bursts."""

MAX_MESSAGE = 1 << 20
"""Largest WebSocket message, in bytes: 32 s of 16-bit mono at 16 kHz."""

MAX_REQUEST = 4096
"""Longest JSON line with which a stream begins, in characters."""

MAX_RATE = 192_000
"""Highest sampling rate of PCM that clients may send, in Hz."""

MAX_CHANNELS = 8
"""Channels of PCM that they may send, at most."""

REQUEST_SECONDS = 10.0
"""Time for a request's header, and for the first message of a stream, in seconds."""

BACKLOG_SECONDS = 5.0
"""Audio of one stream that waits to be processed, in seconds. With more, the server stops reading
from the connection until it has caught up."""

BACKLOG_BYTES = 1 << 22
"""Largest backlog, in bytes, whatever rate and channels a client names."""

PART_SECONDS = 0.5
"""Audio that a worker processes at a time, in seconds. With the bundled model it holds one window,
30 ms of computing, for which other streams wait."""

MESSAGES_PER_SECOND = 200
"""Messages that a stream may send, a second: blocks of 5 ms."""

MESSAGE_BURST = 2000
"""Messages that it may send at once, for example after its network stalled for 10 s."""

UPLOAD_SECONDS = 120.0
"""Time for the body of a request, in seconds."""

STALLED_SECONDS = 20.0
"""Time that a client may leave what it was sent unread, with 64 KiB of it waiting, in seconds."""

CLOSING_SECONDS = 5.0
"""Time for a client to take its last messages when its connection is closed, in seconds."""

GRACE_SECONDS = 10.0
"""Time to finish open streams when the server is stopped, in seconds."""

SPARE_CONNECTIONS = 100
"""Connections beyond those of streams: requests over HTTP, and clients about to be refused."""


@dataclass(frozen=True)
class Limits:
    """The limits that options set."""

    max_streams: int
    """Simultaneous streams."""

    max_analyses: int
    """Simultaneous requests for the analysis of a recording."""

    idle_seconds: float
    """Longest time without audio in a stream, in seconds."""

    max_seconds: float
    """Longest stream or recording, in seconds of audio; a stream lasts no longer in real time."""

    max_upload: int
    """Largest body of a request, in bytes."""

    @property
    def max_connections(self) -> int:
        """Open connections of all kinds."""
        return self.max_streams + self.max_analyses + SPARE_CONNECTIONS


class MessageRate:
    """Counts one connection's messages against what it may send."""

    def __init__(self, now: float) -> None:
        """Start at `now`, in seconds of a monotonic clock."""
        self._allowance = float(MESSAGE_BURST)
        self._last = now

    def exceeded(self, now: float) -> bool:
        """Count a message at `now`, in seconds; return whether it is one too many."""
        self._allowance += (now - self._last) * MESSAGES_PER_SECOND
        self._allowance = min(self._allowance, MESSAGE_BURST) - 1
        self._last = now
        return self._allowance < 0
