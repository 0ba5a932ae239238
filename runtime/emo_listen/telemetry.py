"""Turns off telemetry of imported libraries. `emo_listen` imports this module first.

Libraries read these variables once, on import; child processes inherit them.
"""

from __future__ import annotations

import os
import sys
import warnings

OPT_OUTS = {
    # onnxruntime 1.29 and later: the first variable prevents the uploader, device id and
    # database; onnxruntime's companions (genai, foundry) read the second.
    # https://github.com/microsoft/onnxruntime/blob/main/docs/Privacy.md
    "ORT_DISABLE_TELEMETRY": "1",
    "ORT_TELEMETRY_DISABLED": "1",
    # huggingface_hub, and thereby transformers, optimum and accelerate.
    "HF_HUB_DISABLE_TELEMETRY": "1",
    # datasets and evaluate count downloads.
    "HF_UPDATE_DOWNLOAD_COUNTS": "0",
    # transformers asks a service to convert hub models that lack safetensors.
    "DISABLE_SAFETENSORS_CONVERSION": "true",
    # Ray, for `emo-listen analyse --engine ray`.
    "RAY_USAGE_STATS_ENABLED": "0",
    # gradio, used by dashboards of experiment trackers.
    "GRADIO_ANALYTICS_ENABLED": "False",
}
"""Environment variables that turn telemetry off, and their values."""


def disable_telemetry() -> None:
    """Set `OPT_OUTS` for this process and its children, overriding earlier values.

    Warns if onnxruntime was already imported with telemetry on, which cannot be undone
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
