"""Folding weight norm, on which the export of any HuBERT depends."""

from __future__ import annotations

import onnx
import pytest
import torch

from emo_listen.model_folder.network import FP32, INT8
from export import to_onnx
from export.checkpoint import PyTorchModel, load_classifier
from export.fold import fold_weight_norm
from export.parity import LARGEST_DIFFERENCE, compare
from tests.support import tiny_checkpoints as tiny
from train.corpus.recordings import bundled_speech

SPEECH = bundled_speech(16_000)


@pytest.mark.parametrize("shape", [tiny.COMPACT, tiny.BASE], ids=["compact", "base"])
def test_folding_changes_no_logit(shape):
    model = tiny.make_model(shape)
    speech = torch.from_numpy(tiny.normalize(SPEECH[:16_000]))[None]
    with torch.no_grad():
        before = model(speech).logits
        folded = fold_weight_norm(model)
        after = model(speech).logits
    assert folded == ["hubert.encoder.pos_conv_embed.conv"]
    assert torch.equal(before, after)
    assert "hubert.encoder.pos_conv_embed.conv.weight" in model.state_dict()
    assert fold_weight_norm(model) == []


@pytest.mark.filterwarnings("ignore:.*weight_norm.*is deprecated")
def test_folding_the_hooks_of_older_pytorch():
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.utils.weight_norm(torch.nn.Conv1d(4, 4, 3, groups=2), dim=2)
    )
    frames = torch.randn(1, 4, 20)
    with torch.no_grad():
        before = model(frames)
        assert fold_weight_norm(model) == ["0"]
        after = model(frames)
    torch.testing.assert_close(before, after)
    assert sorted(model.state_dict()) == ["0.bias", "0.weight"]


def test_a_checkpoint_of_hubert_bases_shape_exports(tmp_path):
    checkpoint = tiny.save(tiny.make_model(tiny.BASE), tmp_path / "checkpoint")
    reference = PyTorchModel.load(checkpoint)
    to_onnx.export(checkpoint, tmp_path / "model", [reference.input_values(SPEECH[:48_000])])
    graph = onnx.load(tmp_path / "model" / FP32).graph
    constants = {tensor.name for tensor in graph.initializer}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    assert len(convolutions) == 8
    assert all(node.input[1] in constants for node in convolutions)

    rows = compare(
        reference,
        tmp_path / "model" / FP32,
        tmp_path / "model" / INT8,
        SPEECH,
    )
    assert max(row.fp32 for row in rows) < LARGEST_DIFFERENCE
    assert 0 < max(row.int8 for row in rows) < 0.1


def test_the_checkpoint_that_is_loaded_for_export_is_in_evaluation_mode(tmp_path):
    checkpoint = tiny.save(tiny.make_model(tiny.COMPACT), tmp_path)
    assert not any(module.training for module in load_classifier(checkpoint).modules())
