"""What the server says about its model."""

from __future__ import annotations

from typing import Any

from emo_listen.server.service import Service


def model_row(service: Service) -> dict[str, Any]:
    """Return name, labels and times (in seconds) of the model, as JSON."""
    model = service.model
    window, hop = service.options.window_and_hop(model.settings)
    return {
        "model": model.name,
        "labels": model.labels,
        "window": window,
        "hop": hop,
        "baseline": model.head is not None,
    }
