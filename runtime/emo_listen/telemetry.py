"""Turns off what imported libraries send home. Imported first of all by `emo_listen`.

The libraries read these variables once, when they are imported; processes started later inherit
them.
"""

from __future__ import annotations

import os
import sys
import warnings

OPT_OUTS = {
    # onnxruntime 1.29 and later: the first variable creates no uploader, no device id and no
    # database; the second is what onnxruntime's companions (genai, foundry) read.
    # https://github.com/microsoft/onnxruntime/blob/main/docs/Privacy.md
    "ORT_DISABLE_TELEMETRY": "1",
    "ORT_TELEMETRY_DISABLED": "1",
    # huggingface_hub, and with it transformers, optimum and accelerate.
    "HF_HUB_DISABLE_TELEMETRY": "1",
    # datasets and evaluate count what is loaded.
    "HF_UPDATE_DOWNLOAD_COUNTS": "0",
    # transformers asks a service to convert hub models that lack safetensors.
    "DISABLE_SAFETENSORS_CONVERSION": "true",
    # gradio, which the dashboards of experiment trackers are built on.
    "GRADIO_ANALYTICS_ENABLED": "False",
}
"""Environment variables that turn telemetry off, and their values."""


def disable_telemetry() -> None:
    """Set `OPT_OUTS`, whatever they were, for this process and those that it starts.

    Warns where onnxruntime was imported before with its telemetry on: that cannot be undone
    (`onnxruntime.disable_telemetry_events` suppresses only later events).
    """
    onnxruntime = sys.modules.get("onnxruntime")
    if onnxruntime is not None and os.environ.get("ORT_DISABLE_TELEMETRY") != "1":
        onnxruntime.disable_telemetry_events()
        warnings.warn(
            "onnxruntime was imported before emo_listen, so its telemetry may be on: import "
            "emo_listen first, or set ORT_DISABLE_TELEMETRY=1",
            RuntimeWarning,
            stacklevel=2,
        )
    os.environ.update(OPT_OUTS)
