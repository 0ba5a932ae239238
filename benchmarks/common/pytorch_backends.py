"""Other ways to run a checkpoint in PyTorch: bf16, compiled, and transformers' pipeline.

They are timed next to plain fp32, so that ONNX is not compared with PyTorch's slowest mode only.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax
from torch import nn
from transformers import pipeline

from benchmarks.common.timing import Samples
from export.checkpoint import PyTorchModel
from export.precision_scores import Predictor

BF16, COMPILED, PIPELINE = "PyTorch bf16", "PyTorch compiled", "transformers.pipeline"


def pytorch_backends(checkpoint: Path, compiled: bool) -> dict[str, Predictor]:
    """Load `checkpoint` in bf16, as a pipeline and, if `compiled`, with `torch.compile`.

    `torch.compile` needs a C++ compiler, and a minute or more for each window length.

    Raises:
        ModelError: not a checkpoint of an audio classifier.
    """
    model = PyTorchModel.load(checkpoint)
    backends = {BF16: _in_bf16(model), PIPELINE: _as_pipeline(model)}
    if compiled:
        backends[COMPILED] = _compiled(model)
    return backends


def _in_bf16(model: PyTorchModel) -> Predictor:
    network: nn.Module = copy.deepcopy(model.model).to(torch.bfloat16)

    def predict(samples: Samples) -> NDArray[np.float64]:
        values = torch.from_numpy(model.input_values(samples)).to(torch.bfloat16)
        with torch.inference_mode():
            logits = network(values).logits[0].float().numpy()
        return np.asarray(softmax(logits.astype(np.float64)))

    return predict


def _compiled(model: PyTorchModel) -> Predictor:
    network = torch.compile(cast(nn.Module, copy.deepcopy(model.model)), dynamic=False)

    def predict(samples: Samples) -> NDArray[np.float64]:
        values = torch.from_numpy(model.input_values(samples))
        with torch.no_grad():
            logits = network(values).logits[0].numpy()
        return np.asarray(softmax(logits.astype(np.float64)))

    return predict


def _as_pipeline(model: PyTorchModel) -> Predictor:
    classify = pipeline(
        "audio-classification",
        model=model.model,
        feature_extractor=model.feature_extractor,
        device="cpu",
    )

    def predict(samples: Samples) -> NDArray[np.float64]:
        outputs = classify({"raw": samples, "sampling_rate": model.sampling_rate}, top_k=None)
        scores = {row["label"]: row["score"] for row in outputs}
        return np.array([scores[label] for label in model.labels])

    return predict
