"""Move an avatar's face: send each emotion's probability as an OSC blend shape.

`emo-listen --osc` uses its own addresses; an avatar needs other ones, here those of VMC
(https://protocol.vmc.info/english).

    pip install 'emo-listen[osc]'
    python examples/osc_avatar.py mic 127.0.0.1 39539
"""

from __future__ import annotations

import sys

from pythonosc.udp_client import SimpleUDPClient

from emo_listen import WindowEvent, listen

FACES = {"anger": "Angry", "happiness": "Joy", "neutral": "Neutral", "sadness": "Sorrow"}

device, host, port = sys.argv[1:]
avatar = SimpleUDPClient(host, int(port))
for event in listen(device, emit="windows"):
    if isinstance(event, WindowEvent):
        for label, face in FACES.items():
            avatar.send_message("/VMC/Ext/Blend/Val", [face, event.scores[label]])
        avatar.send_message("/VMC/Ext/Blend/Apply", [])
