"""The colour of each emotion: on terminals, in pictures, for lamps.

The RGB values are Okabe and Ito's, which colour-blind people tell apart ("Color Universal
Design", 2008, https://jfly.uni-koeln.de/color/).
"""

from __future__ import annotations

from emo_listen.model_settings import UNCERTAIN

TERMINAL = {
    "anger": "red",
    "disgust": "green",
    "fear": "magenta",
    "happiness": "yellow",
    "neutral": "default",
    "sadness": "blue",
    UNCERTAIN: "bright_black",
}
"""Name of each known label's colour in rich."""

OTHER_ON_TERMINAL = "cyan"
"""Name in rich of the colour of any other label."""

RGB = {
    "anger": (213, 94, 0),
    "disgust": (0, 158, 115),
    "fear": (204, 121, 167),
    "happiness": (240, 228, 66),
    "neutral": (153, 153, 153),
    "sadness": (0, 114, 178),
    UNCERTAIN: (225, 225, 225),
}
"""Red, green and blue of each known label, 0 to 255."""

OTHER_RGB = (86, 180, 233)
"""Red, green and blue of any other label, 0 to 255."""
