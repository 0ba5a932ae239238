"""Print a lamp's colour as an RGB value whenever the label changes.

Each label has a colour, which is paler if the confidence is lower. Replace `print` with a call to
your lamp.

    python examples/lamp_colour.py mic
"""

from __future__ import annotations

import sys

from emo_listen import ProvisionalEvent, SegmentEvent, listen
from emo_listen.colours import OTHER_RGB, RGB

WHITE = 255

for event in listen(sys.argv[1]):
    if isinstance(event, ProvisionalEvent | SegmentEvent):
        colour = RGB.get(event.label, OTHER_RGB)
        red, green, blue = (round(WHITE + (c - WHITE) * event.confidence) for c in colour)
        print(f"#{red:02x}{green:02x}{blue:02x} {event.label}", flush=True)
