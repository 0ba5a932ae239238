"""emo-listen: on-device speech emotion recognition for live and recorded speech.

    from emo_listen import EmotionModel, listen

Names are imported on first use: `import emo_listen.errors` does not load onnxruntime.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from emo_listen.telemetry import disable_telemetry

if TYPE_CHECKING:
    from emo_listen.baselines.baseline import Baseline
    from emo_listen.engine import ListenOptions
    from emo_listen.errors import EmoListenError
    from emo_listen.events import (
        Event,
        GapEvent,
        LabelEvent,
        ProvisionalEvent,
        SegmentEvent,
        StatusEvent,
        StreamEvent,
        WarningEvent,
        WindowEvent,
    )
    from emo_listen.listener import Listener, listen
    from emo_listen.model import EmotionModel
    from emo_listen.prediction import Prediction
    from emo_listen.session import Session
    from emo_listen.sinks.base import Sink
    from emo_listen.sources.base import Gap, Source

_MODULES = {
    "Baseline": "emo_listen.baselines.baseline",
    "EmoListenError": "emo_listen.errors",
    "EmotionModel": "emo_listen.model",
    "Event": "emo_listen.events",
    "Gap": "emo_listen.sources.base",
    "GapEvent": "emo_listen.events",
    "LabelEvent": "emo_listen.events",
    "StreamEvent": "emo_listen.events",
    "ListenOptions": "emo_listen.engine",
    "Listener": "emo_listen.listener",
    "Prediction": "emo_listen.prediction",
    "ProvisionalEvent": "emo_listen.events",
    "SegmentEvent": "emo_listen.events",
    "Session": "emo_listen.session",
    "Sink": "emo_listen.sinks.base",
    "Source": "emo_listen.sources.base",
    "StatusEvent": "emo_listen.events",
    "WarningEvent": "emo_listen.events",
    "WindowEvent": "emo_listen.events",
    "listen": "emo_listen.listener",
}

__all__ = [
    "Baseline",
    "EmoListenError",
    "EmotionModel",
    "Event",
    "Gap",
    "GapEvent",
    "LabelEvent",
    "ListenOptions",
    "Listener",
    "Prediction",
    "ProvisionalEvent",
    "SegmentEvent",
    "Session",
    "Sink",
    "Source",
    "StatusEvent",
    "StreamEvent",
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
