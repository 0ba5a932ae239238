"""Turn a voice into the colour of a lamp: print its RGB value whenever it changes.

What and why: a lamp has three channels, so each label has a colour, paler the less sure it is.
Replace `print` by what your lamp takes.

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
