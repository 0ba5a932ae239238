"""emo-listen: which emotion a voice carries, on the device, as it is spoken.

    from emo_listen import EmotionModel, listen

Names are imported when first used, so that `import emo_listen.errors` loads no runtime.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from emo_listen.telemetry import disable_telemetry

if TYPE_CHECKING:
    from emo_listen.baselines.baseline import Baseline
    from emo_listen.events import (
        Event,
        GapEvent,
        ProvisionalEvent,
        SegmentEvent,
        StatusEvent,
        WarningEvent,
        WindowEvent,
    )
    from emo_listen.listener import Listener, listen
    from emo_listen.model import EmotionModel, Prediction

_MODULES = {
    "Baseline": "emo_listen.baselines.baseline",
    "EmotionModel": "emo_listen.model",
    "Event": "emo_listen.events",
    "GapEvent": "emo_listen.events",
    "Listener": "emo_listen.listener",
    "Prediction": "emo_listen.model",
    "ProvisionalEvent": "emo_listen.events",
    "SegmentEvent": "emo_listen.events",
    "StatusEvent": "emo_listen.events",
    "WarningEvent": "emo_listen.events",
    "WindowEvent": "emo_listen.events",
    "listen": "emo_listen.listener",
}

__all__ = [
    "Baseline",
    "EmotionModel",
    "Event",
    "GapEvent",
    "Listener",
    "Prediction",
    "ProvisionalEvent",
    "SegmentEvent",
    "StatusEvent",
    "WarningEvent",
    "WindowEvent",
    "listen",
]

disable_telemetry()


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULES])
