"""Publish emotions to an MQTT broker, for home automation and robots.

Each label is one JSON message with QoS 1, published to `TOPIC`. A client that subscribes later gets
the last final label, because segments are retained.

    pip install paho-mqtt
    python examples/mqtt_publisher.py mic 127.0.0.1 1883 home/kitchen/emotion
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

from paho.mqtt.client import Client, MQTTMessageInfo
from paho.mqtt.enums import CallbackAPIVersion

from emo_listen import Event, ProvisionalEvent, SegmentEvent, Sink, listen

TIMEOUT = 10.0  # seconds


class MqttSink(Sink):
    """Publishes provisional and final labels to one topic."""

    def __init__(self, host: str, port: int, topic: str) -> None:
        """Connect to the broker; raises OSError if it cannot be reached."""
        self.topic = topic
        self.client = Client(CallbackAPIVersion.VERSION2)
        self.client.connect(host, port)
        self.client.loop_start()
        self.last: MQTTMessageInfo | None = None

    def write(self, event: Event) -> None:
        """Publish a label; other events are ignored."""
        if isinstance(event, ProvisionalEvent | SegmentEvent):
            self.last = self.client.publish(
                self.topic,
                json.dumps(asdict(event)),
                qos=1,
                retain=isinstance(event, SegmentEvent),
            )

    def finish(self) -> None:
        """Wait until the broker has the last message."""
        if self.last is not None:
            self.last.wait_for_publish(TIMEOUT)

    def close(self) -> None:
        """Disconnect."""
        self.client.disconnect()
        self.client.loop_stop()


if __name__ == "__main__":
    device, host, port, topic = sys.argv[1:]
    sink = MqttSink(host, int(port), topic)
    try:
        for event in listen(device):
            sink.write(event)
        sink.finish()
    finally:
        sink.close()
