"""Rewriting modules for speed: each computes what it replaces."""

from __future__ import annotations

import copy

import onnx
import pytest
import torch
from torch import nn
from transformers import HubertForSequenceClassification

from emo_listen.model_folder.network import FP32
from export import streamline
from export.graph import export_fp32
from export.streamline import (
    DepthwiseConvolution,
    ProductConvolution,
    faster_convolution,
    grouped_convolution,
)
from tests.support import tiny_checkpoints as tiny
from train.corpus.recordings import bundled_speech

SPEECH = torch.from_numpy(tiny.normalize(bundled_speech(16_000)[:24_000]))[None]


def same(conv: nn.Module, faster: nn.Module, frames: torch.Tensor) -> None:
    with torch.no_grad():
        torch.testing.assert_close(faster(frames), conv(frames), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("first", "last"), [(0, 12), (4, 12), (0, 7), (5, 8)])
@pytest.mark.parametrize("n_frames", [1, 5, 30])
def test_depthwise_convolutions_and_their_zeros(first, last, n_frames):
    torch.manual_seed(0)
    conv = nn.Conv1d(6, 6, 12, padding=6, groups=6)
    with torch.no_grad():
        conv.weight[:, :, :first] = 1e-12
        conv.weight[:, :, last:] = 1e-12
    faster = faster_convolution(conv)
    assert isinstance(faster, DepthwiseConvolution)
    assert faster.conv.weight.shape == (6, 1, 1, last - first)
    same(conv, faster, torch.randn(2, 6, n_frames))


@pytest.mark.parametrize(("kernel", "stride"), [(3, 2), (3, 1), (2, 2)])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("n_frames", [3, 4, 21])
def test_wide_convolutions_become_products(monkeypatch, kernel, stride, bias, n_frames):
    monkeypatch.setattr(streamline, "WIDE", 8)
    torch.manual_seed(0)
    conv = nn.Conv1d(8, 5, kernel, stride=stride, bias=bias)
    faster = faster_convolution(conv)
    assert isinstance(faster, ProductConvolution)
    same(conv, faster, torch.randn(2, 8, n_frames))


def test_block_diagonal_convolutions_become_grouped():
    torch.manual_seed(0)
    conv = nn.Conv1d(6, 9, 3, stride=2)
    assert grouped_convolution(conv) is None
    blocks = torch.block_diag(*[torch.ones(3, 2)] * 3)
    with torch.no_grad():
        conv.weight *= blocks[:, :, None]
    faster = faster_convolution(conv)
    assert isinstance(faster, nn.Conv1d)
    assert faster.groups == 3
    same(conv, faster, torch.randn(2, 6, 15))


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv1d(6, 6, 3, dilation=2, groups=6),
        nn.Conv1d(6, 6, 3, padding=1, padding_mode="circular", groups=6),
        nn.Conv1d(6, 6, 3, padding="same", groups=6),
        nn.Conv1d(300, 6, 3, padding=1),
        nn.Conv1d(6, 6, 3, groups=2),
    ],
)
def test_other_convolutions_stay(conv):
    assert faster_convolution(conv) is None


@pytest.mark.parametrize("shape", [tiny.COMPACT, tiny.BASE], ids=["compact", "base"])
@pytest.mark.parametrize("weighted", [True, False])
def test_a_classifiers_logits_stay(monkeypatch, shape, weighted):
    monkeypatch.setattr(streamline, "WIDE", 32)
    changes = {"num_conv_pos_embedding_groups": 64} if shape is tiny.COMPACT else {}
    model = tiny.make_model(shape, use_weighted_layer_sum=weighted, **changes)
    faster = copy.deepcopy(model)
    streamline.streamline(faster)
    assert isinstance(faster, HubertForSequenceClassification)
    kinds = {type(module) for module in faster.modules()}
    assert ProductConvolution in kinds
    with torch.no_grad():
        torch.testing.assert_close(
            faster(SPEECH).logits, model(SPEECH).logits, atol=1e-5, rtol=1e-5
        )


def test_the_graph_has_the_faster_convolution_and_only_standard_operators(tmp_path):
    model = tiny.make_model(tiny.COMPACT, num_conv_pos_embedding_groups=64)
    export_fp32(tiny.save(model, tmp_path / "checkpoint"), tmp_path / "model")
    graph = onnx.load(tmp_path / "model" / FP32)
    assert {opset.domain for opset in graph.opset_import} == {""}
    weights = {tensor.name: list(tensor.dims) for tensor in graph.graph.initializer}
    shapes = [weights[node.input[1]] for node in graph.graph.node if node.op_type == "Conv"]
    assert [64, 1, 1, 16] in shapes
