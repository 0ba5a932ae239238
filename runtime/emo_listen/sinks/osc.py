"""Events as Open Sound Control messages over UDP, for avatars, lights and music programs.

| address | argument | when |
| --- | --- | --- |
| `/emo/label` | string label, float confidence | a segment has a label, changes it, or ends |
| `/emo/scores/<label>` | float probability | with each `/emo/label`, for every label |
| `/emo/baseline` | float seconds | before each `/emo/label`: speech that the baseline rests on |
| `/emo/speech` | int 1 or 0 | somebody begins or ceases to speak |

In addresses, characters of a label that OSC reserves become `_`.
https://opensoundcontrol.stanford.edu/spec-1_0.html
"""

from __future__ import annotations

import logging
import re
import socket

from emo_listen.errors import OutputError
from emo_listen.events import Event, ProvisionalEvent, SegmentEvent, StatusEvent
from emo_listen.extras import import_extra

OSC_TYPES = frozenset({"provisional", "segment", "status"})
"""The types of event that OSC messages are made from."""

_RESERVED = re.compile(r"[\s#*,/?\[\]{}]")

_log = logging.getLogger(__name__)


class OscSink:
    """Sends messages to one address, and never waits for anyone."""

    def __init__(self, host: str, port: int) -> None:
        """Send to `host`, a name or an IP address.

        Raises:
            OutputError: there is no such host.
            MissingExtraError: the extra `osc` is not installed.
        """
        client_module = import_extra("osc", "pythonosc.udp_client")
        self._target = f"{host}:{port}"
        try:
            # Once and for all: the client would ask for the name's address with each message.
            address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0][4][0]
            self._client = client_module.SimpleUDPClient(address, port)
        except OSError as error:
            raise OutputError(f"no OSC can be sent to {self._target}: {error.strerror}") from error
        self._speech: bool | None = None
        self._failing = False

    def write(self, event: Event) -> None:
        """Send what the event says."""
        if isinstance(event, StatusEvent):
            if event.speech != self._speech:
                self._speech = event.speech
                self._send("/emo/speech", int(event.speech))
        elif isinstance(event, ProvisionalEvent | SegmentEvent):
            for label, score in event.scores.items():
                self._send(f"/emo/scores/{_RESERVED.sub('_', label)}", float(score))
            self._send("/emo/baseline", float(event.baseline_seconds))
            self._send("/emo/label", [event.label, float(event.confidence)])

    def close(self) -> None:
        """Close the socket."""
        self._client.close()

    def _send(self, address: str, value: int | float | list[str | float]) -> None:
        try:
            self._client.send_message(address, value)
        except OSError as error:
            # A network that is away for a while must not end the listening.
            if not self._failing:
                _log.warning("no OSC can be sent to %s for now: %s", self._target, error.strerror)
            self._failing = True
        else:
            self._failing = False
