"""Compare an export of the clone's checkpoint with the bundled model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emo_listen.model_folder.network import FP32, INT8
from emo_listen.model_settings import ModelSettings, file_sha256
from export.graph import logits_of


def against_bundled(folder: Path, inputs: list[NDArray[np.float32]], bundled: Path) -> list[str]:
    """Compare the graphs in `folder` with those of `bundled`.

    Args:
        folder: the export.
        inputs: `input_values` `(1, n_samples)` of speech, to compare graphs that differ.
        bundled: model folder; it may lack the fp32 graph, whose SHA-256 is in its settings.

    Returns:
        A line for each graph: identical, or the largest difference of the logits.
    """
    known = ModelSettings.read(bundled).sha256
    lines = []
    for name in (FP32, INT8):
        if not (folder / name).is_file():
            continue
        if file_sha256(folder / name) == known.get(name):
            result = "identical to the bundled model"
        elif (bundled / name).is_file():
            difference = logits_of(folder / name, inputs) - logits_of(bundled / name, inputs)
            result = f"differs from the bundled model; logits by up to {abs(difference).max():.1e}"
        else:
            result = "differs from the bundled model, whose graph is not here to compare"
        lines.append(f"{name}: {result}")
    return lines
