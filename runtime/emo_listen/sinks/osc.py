"""Events as Open Sound Control messages over UDP, for avatars, lights and music software.

| address | argument | when |
| --- | --- | --- |
| `/emo/label` | string label, float confidence | a segment gets a label, changes it, or ends |
| `/emo/scores/<label>` | float probability | before each `/emo/label`, for every label |
| `/emo/baseline` | float seconds | before each `/emo/label`: speech in the voice's baseline |
| `/emo/speech` | int 1 or 0 | speech starts or ends |

With separate channels, the addresses have the channel's number: `/emo/1/label`, and so on.
In addresses, characters of a label that OSC reserves are replaced by `_`.
https://opensoundcontrol.stanford.edu/spec-1_0.html
"""

from __future__ import annotations

import logging
import re
import socket

from emo_listen.errors import OutputError
from emo_listen.events import Event, ProvisionalEvent, SegmentEvent, StatusEvent
from emo_listen.extras import import_extra
from emo_listen.sinks.base import Sink

OSC_TYPES = frozenset({"provisional", "segment", "status"})
"""The event types that are sent as OSC messages."""

_RESERVED = re.compile(r"[\s#*,/?\[\]{}]")

_log = logging.getLogger(__name__)


class OscSink(Sink):
    """Sends messages to one address, without waiting for the receiver."""

    def __init__(self, host: str, port: int) -> None:
        """Resolve `host`, a name or an IP address, and open a socket.

        Raises:
            OutputError: the host is unknown.
            MissingExtraError: the extra `osc` is not installed.
        """
        client_module = import_extra("osc", "pythonosc.udp_client")
        self._target = f"{host}:{port}"
        try:
            # Resolved once: the client would look the name up for each message.
            address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0][4][0]
            self._client = client_module.SimpleUDPClient(address, port)
        except OSError as error:
            raise OutputError(f"cannot send OSC to {self._target}: {error.strerror}") from error
        self._speech: dict[int | None, bool] = {}
        self._failing = False

    def write(self, event: Event) -> None:
        """Send the messages of one event."""
        root = "/emo" if event.channel is None else f"/emo/{event.channel}"
        if isinstance(event, StatusEvent):
            if event.speech != self._speech.get(event.channel):
                self._speech[event.channel] = event.speech
                self._send(f"{root}/speech", int(event.speech))
        elif isinstance(event, ProvisionalEvent | SegmentEvent):
            for label, score in event.scores.items():
                self._send(f"{root}/scores/{_RESERVED.sub('_', label)}", float(score))
            self._send(f"{root}/baseline", float(event.baseline_seconds))
            self._send(f"{root}/label", [event.label, float(event.confidence)])

    def close(self) -> None:
        """Close the socket."""
        self._client.close()

    def _send(self, address: str, value: int | float | list[str | float]) -> None:
        try:
            self._client.send_message(address, value)
        except OSError as error:
            # A temporary network failure must not end the stream.
            if not self._failing:
                _log.warning(
                    "cannot send OSC to %s at the moment: %s", self._target, error.strerror
                )
            self._failing = True
        else:
            self._failing = False
