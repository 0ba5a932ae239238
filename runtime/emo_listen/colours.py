"""The colour of each emotion, for terminals, pictures and lamps.

The RGB values are by Okabe and Ito, distinguishable by colour-blind people ("Color Universal
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
"""rich's name of each known label's colour."""

OTHER_ON_TERMINAL = "cyan"
"""rich's name of the colour of any other label."""

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
