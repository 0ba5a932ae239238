"""The backends that are compared: PyTorch, ONNX fp32 and ONNX int8.

ONNX is run as by `emo-listen` (`EmotionModel`), PyTorch as by a user of transformers. Both are
measured from samples to probabilities, with the calibration of the model folder.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import torch

from emo_listen import EmotionModel
from emo_listen.errors import ModelError
from emo_listen.model_folder.network import FP32, INT8
from emo_listen.model_settings import ModelSettings
from export.checkpoint import PyTorchModel
from export.graph import export_fp32
from export.precision_scores import Predictor, predictor_of

PYTORCH = "PyTorch"
GRAPHS = {"ONNX fp32": FP32, "ONNX int8": INT8}


@dataclass
class Backends:
    """The backends of one classifier."""

    predictors: dict[str, Predictor]
    """By name, in the order of the table; the last one is `device`."""

    device: EmotionModel
    """The model that a device runs."""

    labels: list[str]
    """Class names, the same for all."""

    sampling_rate: int
    """Sampling rate of the input in Hz, the same for all."""

    settings: ModelSettings
    """Settings of the model folder; its calibration applies to all."""


def load_backends(checkpoint: Path | None, model: Path, threads: int) -> Backends:
    """Load PyTorch and each graph of `model`, each on `threads` CPU threads.

    If `model` has no fp32 graph, as the bundled one, the checkpoint is exported to a temporary
    folder. Backends that are not available are reported and left out.

    Raises:
        ModelError: a folder cannot be loaded, or the backends are not the same classifier.
    """
    settings = ModelSettings.read(model)
    predictors: dict[str, Predictor] = {}
    interfaces: dict[str, tuple[list[str], int]] = {}
    device: EmotionModel | None = None
    if checkpoint is None:
        print(f"No {PYTORCH} row: give --checkpoint.")
    else:
        torch.set_num_threads(threads)
        reference = PyTorchModel.load(checkpoint)
        predictors[PYTORCH] = partial(
            reference.mean_probabilities, temperature=settings.temperature
        )
        interfaces[PYTORCH] = reference.labels, reference.sampling_rate
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
        predictors[name] = predictor_of(graph)
        interfaces[name] = graph.labels, graph.sampling_rate
        device = graph
    if device is None:
        raise ModelError(
            f"{model} has none of {', '.join(GRAPHS.values())}: give a folder that "
            "export/to_onnx.py wrote"
        )
    first = next(iter(interfaces))
    for name, interface in interfaces.items():
        if interface != interfaces[first]:
            raise ModelError(
                f"{first} and {name} are different classifiers: {_describe(*interfaces[first])} "
                f"and {_describe(*interface)}. Give the --checkpoint that the --model was "
                "exported from."
            )
    return Backends(predictors, device, *interfaces[first], settings)


def _describe(labels: list[str], sampling_rate: int) -> str:
    return f"{', '.join(labels)} at {sampling_rate} Hz"


@cache
def _exported(checkpoint: Path) -> tempfile.TemporaryDirectory[str]:
    """Export the fp32 graph of `checkpoint` once, to a folder deleted when the process ends."""
    folder = tempfile.TemporaryDirectory()
    export_fp32(checkpoint, Path(folder.name))
    return folder
