"""Stream a WAV file of 16 bits to `emo-listen serve`, and print its events as they come.

pip install websockets
python examples/serve/client.py ws://127.0.0.1:8765/v1/stream talk.wav
"""

import contextlib
import json
import os
import sys
import threading
import wave

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

token = {"Authorization": f"Bearer {os.environ.get('EMO_LISTEN_TOKEN', '')}"}
with wave.open(sys.argv[2]) as sound, connect(sys.argv[1], additional_headers=token) as server:
    options = {"sampling_rate": sound.getframerate(), "channels": sound.getnchannels()}

    def send() -> None:
        """Send the file while events come, unless the server refuses it."""
        with contextlib.suppress(ConnectionClosed):
            server.send(json.dumps(options))
            while block := sound.readframes(1600):
                server.send(block)
            server.send('{"type": "end"}')

    threading.Thread(target=send).start()
    for message in server:
        print(message)
