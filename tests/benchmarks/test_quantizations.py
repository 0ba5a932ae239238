"""Every quantization that is compared, on a tiny checkpoint and real speech."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from benchmarks.common.quantizations import QUANTIZATIONS
from emo_listen.model_folder.network import FP32
from export.checkpoint import PyTorchModel
from export.graph import export_fp32, open_graph
from export.quantize_int8 import constant_weight_nodes
from export.sensitivity import SENSITIVE, sensitive_products
from export.speech import speech_windows
from tests.support import tiny_checkpoints as tiny
from train.corpus.recordings import bundled_speech


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """An fp32 graph, and inputs."""
    folder = tmp_path_factory.mktemp("quantizations")
    checkpoint = tiny.save(tiny.make_model(tiny.COMPACT), folder / "checkpoint")
    model = PyTorchModel.load(checkpoint)
    export_fp32(checkpoint, folder)
    windows = speech_windows(bundled_speech(16_000), 16_000, 3)
    return folder / FP32, [model.input_values(window) for window in windows]


def logits(graph, inputs):
    session = open_graph(graph)
    return np.concatenate([session.run(["logits"], {"input_values": i})[0] for i in inputs])


@pytest.mark.parametrize("name", QUANTIZATIONS)
def test_each_runs_and_is_near_fp32(exported, tmp_path, name):
    fp32, inputs = exported
    target = tmp_path / "quantized.onnx"
    QUANTIZATIONS[name](fp32, inputs, target)
    expected = logits(fp32, inputs)
    found = logits(target, inputs)
    assert np.isfinite(found).all()
    error = np.sqrt(np.square(found - expected).mean() / np.square(expected).mean())
    # Fixed scales from three windows, and 4 bits, are coarse in a model as narrow as this; int8
    # convolutions are of no use at all.
    assert error < 0.5 or "convolutions" in name
    if name != "fp32":
        assert target.stat().st_size < fp32.stat().st_size
        assert error > 0


def test_mixed_leaves_the_most_sensitive_layers_in_fp32(exported, tmp_path):
    fp32, inputs = exported
    worst = sensitive_products(fp32, inputs)
    assert len(set(worst)) == SENSITIVE
    QUANTIZATIONS["int8"](fp32, inputs, tmp_path / "int8.onnx")
    QUANTIZATIONS["mixed"](fp32, inputs, tmp_path / "mixed.onnx")
    mixed = onnx.load(tmp_path / "mixed.onnx")
    assert set(worst) <= set(constant_weight_nodes(mixed, "MatMul"))
    assert sum(node.op_type == "MatMulInteger" for node in mixed.graph.node) == 13 - SENSITIVE
    expected = logits(fp32, inputs)
    errors = [
        float(np.square(logits(tmp_path / f"{name}.onnx", inputs) - expected).mean())
        for name in ("int8", "mixed")
    ]
    assert errors[1] < errors[0]
