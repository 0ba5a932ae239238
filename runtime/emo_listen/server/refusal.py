"""Why the server refuses a request or ends a stream: a code for programs, a sentence for people."""

from __future__ import annotations

from typing import Any

from emo_listen.errors import AudioFileError, AudioInputError, EmoListenError

CODES: dict[str, tuple[int, int]] = {
    "bad_request": (400, 1008),
    "unauthorized": (401, 1008),
    "forbidden_origin": (403, 1008),
    "not_found": (404, 1008),
    "method_not_allowed": (405, 1008),
    "idle": (408, 1008),
    "time_limit": (413, 1008),
    "too_large": (413, 1009),
    "unsupported": (415, 1003),
    "bad_audio": (422, 1003),
    "flood": (429, 1008),
    "internal": (500, 1011),
    "busy": (503, 1013),
    "stopping": (503, 1001),
}
"""HTTP status and WebSocket close code of each code."""


class Refusal(EmoListenError):
    """A request that is refused, or a stream that is ended.

    Attributes:
        code: One of `CODES`.
    """

    def __init__(self, code: str, message: str) -> None:
        """Name a refusal and say what to do."""
        super().__init__(message)
        self.code = code

    @property
    def status(self) -> int:
        """HTTP status."""
        return CODES[self.code][0]

    @property
    def close_code(self) -> int:
        """WebSocket close code."""
        return CODES[self.code][1]

    def row(self) -> dict[str, Any]:
        """Return the JSON object that a client gets."""
        return {"type": "error", "code": self.code, "message": str(self)}


def as_refusal(error: EmoListenError) -> Refusal:
    """Return the refusal that names an error of the library."""
    if isinstance(error, Refusal):
        return error
    audio = isinstance(error, AudioFileError | AudioInputError)
    return Refusal("bad_audio" if audio else "internal", str(error))
