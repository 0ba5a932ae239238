"""The three ways to run one model, as a benchmark compares them.

The ONNX rows are the `EmotionModel` that `emo-listen` runs, and the PyTorch row is what a
user of transformers runs, both from sound to probabilities with the model folder's calibration.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.common.timing import Samples
from emo_listen import EmotionModel
from emo_listen.errors import ModelError
from emo_listen.model_folder.network import FP32, INT8
from emo_listen.model_settings import ModelSettings
from export.checkpoint import PyTorchModel
from export.graph import export_fp32
from train.corpus.long_recordings import over_windows

PYTORCH = "PyTorch"
GRAPHS = {"ONNX fp32": FP32, "ONNX int8": INT8}

Probabilities = NDArray[np.float64]
Predictor = Callable[[Samples], Probabilities]
"""Gives the probabilities `(n_labels,)` of samples `(n_samples,)` at the model's own rate."""


@dataclass
class Backends:
    """What there is to compare."""

    predictors: dict[str, Predictor]
    """By name, in the order of the table: the last is `device`."""

    device: EmotionModel
    """What a device runs."""

    labels: list[str]
    """Class names that they all give."""

    sampling_rate: int
    """Rate of the sound that they all take, in Hz."""

    settings: ModelSettings
    """Of the model folder: its calibration, which is applied to all, its window and its hop."""


def load_backends(checkpoint: Path | None, model: Path, threads: int) -> Backends:
    """Load PyTorch and each graph of `model`, each to run on `threads` CPU threads.

    Where `model` has no fp32 graph, as the bundled one, the checkpoint's is exported for the
    while. What is absent is named and left out.

    Raises:
        ModelError: a folder cannot be loaded, or they are not the same classifier.
    """
    settings = ModelSettings.read(model)
    predictors: dict[str, Predictor] = {}
    known: dict[str, tuple[list[str], int]] = {}
    device: EmotionModel | None = None
    if checkpoint is None:
        print(f"No {PYTORCH} row: give --checkpoint.")
    else:
        torch.set_num_threads(threads)
        reference = PyTorchModel.load(checkpoint)
        predictors[PYTORCH] = _of_pytorch(reference, settings.temperature)
        known[PYTORCH] = reference.labels, reference.sampling_rate
    for name, file in GRAPHS.items():
        if (model / file).is_file():
            graph = EmotionModel.load(model, file_name=file, threads=threads)
        elif file == FP32 and checkpoint is not None:
            exported = Path(_exported(checkpoint).name)
            graph = EmotionModel.load(exported, file_name=file, threads=threads)
            graph.settings.temperature = settings.temperature
        else:
            print(f"No {name} row: {model.name} has no {file}.")
            continue
        predictors[name] = _of_graph(graph)
        known[name] = graph.labels, graph.sampling_rate
        device = graph
    if device is None:
        raise ModelError(f"nothing to measure: {model} has none of {', '.join(GRAPHS.values())}")
    first = next(iter(known))
    for name, (labels, sampling_rate) in known.items():
        if (labels, sampling_rate) != known[first]:
            raise ModelError(
                f"{first} and {name} are not the same classifier: labels {known[first][0]} at "
                f"{known[first][1]} Hz against {labels} at {sampling_rate} Hz"
            )
    return Backends(predictors, device, *known[first], settings)


def _of_pytorch(model: PyTorchModel, temperature: float) -> Predictor:
    return over_windows(
        lambda samples: model.probabilities(samples, temperature), model.sampling_rate
    )


def _of_graph(model: EmotionModel) -> Predictor:
    def predict(samples: Samples) -> Probabilities:
        return np.array(list(model.predict(samples, model.sampling_rate).scores.values()))

    return over_windows(predict, model.sampling_rate)


@cache
def _exported(checkpoint: Path) -> tempfile.TemporaryDirectory[str]:
    """Export the fp32 graph of `checkpoint` once, into a folder that goes with the process."""
    folder = tempfile.TemporaryDirectory()
    export_fp32(checkpoint, Path(folder.name))
    return folder
