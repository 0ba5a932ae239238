"""Tell whether an export of the clone's checkpoint is the model that the package brings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emo_listen.model import BUNDLED_MODEL
from emo_listen.model_settings import ModelSettings, file_sha256
from export.graph import FP32, INT8, open_graph


def against_bundled(
    folder: Path, inputs: list[NDArray[np.float32]], bundled: Path = BUNDLED_MODEL
) -> list[str]:
    """Compare the graphs in `folder` with those of `bundled`.

    Args:
        folder: of the export.
        inputs: `input_values` `(1, n_samples)` of speech, for graphs that are not the same.
        bundled: model folder, which may lack the fp32 graph but knows its SHA-256.

    Returns:
        A line for each graph: the same byte for byte, or by how much the logits differ.
    """
    known = ModelSettings.read(bundled).sha256
    lines = []
    for name in (FP32, INT8):
        if not (folder / name).is_file():
            continue
        if file_sha256(folder / name) == known.get(name):
            told = "the bundled model's, byte for byte"
        elif (bundled / name).is_file():
            difference = largest_difference(folder / name, bundled / name, inputs)
            told = f"not the bundled model's bytes; its logits differ by up to {difference:.1e}"
        else:
            told = "not the bundled model's bytes, which are not here to compare with"
        lines.append(f"{name}: {told}")
    return lines


def largest_difference(one: Path, other: Path, inputs: list[NDArray[np.float32]]) -> float:
    """Largest absolute difference of a logit (no unit) between two graphs on `inputs`."""
    sessions = [open_graph(one), open_graph(other)]
    pairs = [[s.run(["logits"], {"input_values": x})[0] for s in sessions] for x in inputs]
    return max(float(np.abs(first - second).max()) for first, second in pairs)
