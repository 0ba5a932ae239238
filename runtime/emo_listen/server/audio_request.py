"""What a client asks for: the first line of a stream, or the query of an analysis."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from emo_listen.decoding.pcm import PcmFormat
from emo_listen.engine import ListenOptions
from emo_listen.events import Emit
from emo_listen.server.limits import MAX_CHANNELS, MAX_RATE, MAX_REQUEST
from emo_listen.server.refusal import Refusal
from emo_listen.sound.rates import MIN_RATE

PCM_FORMATS: tuple[PcmFormat, ...] = ("s16le", "s32le", "f32le")
"""Formats of raw PCM that clients may send."""

STREAM_FORMATS = (*PCM_FORMATS, "opus")
"""Formats of a stream; `opus` is in Ogg or WebM, which have their own rate and channels."""

FILE_FORMATS = ("file", *PCM_FORMATS)
"""Formats of a recording; `file` is any container that can be decoded."""

BASELINES = ("auto", "off")
"""Values of `baseline`."""

EMITS: tuple[str, ...] = get_args(Emit)
"""Values of `emit`."""


@dataclass(frozen=True)
class AudioRequest:
    """How audio comes, and what of it is wanted."""

    format: str
    """One of `STREAM_FORMATS` or `FILE_FORMATS`."""

    sampling_rate: int = 16_000
    """Rate of PCM, in Hz, 1,000 to 192,000."""

    channels: int = 1
    """Channels of PCM, 1 to 8; mixed to one."""

    emit: Emit = "segments"
    """Which events with labels are wanted: see `Emit`."""

    baseline: str = "auto"
    """`auto`, a running estimate of the current speaker's baseline, or `off`."""

    vad: bool = True
    """Whether to predict in speech only."""

    status: bool = False
    """Whether to add a status event every 0.1 seconds."""

    def options(self, server: ListenOptions) -> ListenOptions:
        """Return how to listen, with window and hop of the `server`."""
        return dataclasses.replace(
            server,
            emit=self.emit,
            baseline=self.baseline,
            vad=self.vad,
            status=self.status,
        )


def stream_request(text: str) -> AudioRequest:
    """Read the first message of a stream, a JSON object.

    Raises:
        Refusal: It is not one, or a value is out of range.
    """
    if len(text) > MAX_REQUEST:
        raise Refusal("bad_request", f"the first message is longer than {MAX_REQUEST} characters")
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Refusal("bad_request", f"the first message is not JSON: {error}") from error
    if not isinstance(values, dict):
        raise Refusal("bad_request", "the first message is not a JSON object")
    return _request({"format": "s16le", **values}, STREAM_FORMATS)


def query_request(query: Mapping[str, str]) -> AudioRequest:
    """Read the query of an analysis, whose values are text.

    Raises:
        Refusal: A value is out of range.
    """
    values: dict[str, Any] = {"format": "file", **query}
    for name in ("sampling_rate", "channels"):
        if name in query and query[name].isascii() and query[name].isdecimal():
            values[name] = int(query[name][:12])
    for name in ("vad", "status"):
        if query.get(name) in ("true", "false"):
            values[name] = query[name] == "true"
    return _request(values, FILE_FORMATS)


def _request(values: Mapping[str, Any], formats: tuple[str, ...]) -> AudioRequest:
    fields = {field.name for field in dataclasses.fields(AudioRequest)}
    if unknown := sorted(values.keys() - fields):
        raise Refusal(
            "bad_request", f"unknown option {unknown[0][:40]!r}: use {', '.join(sorted(fields))}"
        )
    for name, choices in (("format", formats), ("emit", EMITS), ("baseline", BASELINES)):
        if name in values and values[name] not in choices:
            raise Refusal("bad_request", f"{name} must be one of {', '.join(choices)}")
    for name in ("vad", "status"):
        if not isinstance(values.get(name, True), bool):
            raise Refusal("bad_request", f"{name} must be true or false")
    for name, low, high in (("sampling_rate", MIN_RATE, MAX_RATE), ("channels", 1, MAX_CHANNELS)):
        value = values.get(name, high)
        if type(value) is not int or not low <= value <= high:
            raise Refusal("bad_request", f"{name} must be a whole number from {low} to {high}")
    if values["format"] not in PCM_FORMATS and not values.keys().isdisjoint(
        ("sampling_rate", "channels")
    ):
        raise Refusal(
            "bad_request",
            f"sampling_rate and channels are those of the audio with format {values['format']}: "
            "leave them out",
        )
    return AudioRequest(**values)
