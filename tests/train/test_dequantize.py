"""An int8 model of to_onnx.py, turned back into the checkpoint that it was exported from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForAudioClassification

from emo_listen.errors import ModelError
from export import to_onnx
from export.graph import export_fp32
from tests.support import tiny_checkpoints as tiny
from train import dequantize
from train.corpus.recordings import bundled_speech

RATE = 16_000


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    model = tiny.make_model(tiny.COMPACT, use_weighted_layer_sum=True)
    torch.nn.init.normal_(model.layer_weights)
    return tiny.save(model, tmp_path / "checkpoint")


def test_weights_come_back_within_rounding(checkpoint: Path, tmp_path: Path) -> None:
    speech = bundled_speech(RATE)[: 6 * RATE]
    windows = [tiny.normalize(speech[start : start + RATE])[None] for start in (0, RATE)]
    (tmp_path / "model").mkdir()
    to_onnx.export(checkpoint, tmp_path / "model", windows)
    (tmp_path / "model" / dequantize.FILE_NAME).write_text("{}", encoding="utf-8")
    dequantize.run(tmp_path / "model", checkpoint, tmp_path / "again")
    first, again = (
        AutoModelForAudioClassification.from_pretrained(folder).eval()
        for folder in (checkpoint, tmp_path / "again")
    )
    layer = "hubert.encoder.layers.0.attention.q_proj.weight"
    assert not torch.equal(first.state_dict()[layer], again.state_dict()[layer])
    torch.testing.assert_close(
        first.layer_weights.softmax(dim=0), again.layer_weights.softmax(dim=0)
    )
    with torch.inference_mode():
        sound = torch.from_numpy(windows[0].astype(np.float32))
        moved = (first(sound).logits - again(sound).logits).abs().max()
        spread = first(sound).logits.std()
    assert moved < 0.05 * spread + 0.01


def test_another_graph_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    export_fp32(checkpoint, tmp_path / "model")
    (tmp_path / "model/onnx/model.onnx").rename(tmp_path / "model" / dequantize.INT8)
    (tmp_path / "model" / dequantize.FILE_NAME).write_text("{}", encoding="utf-8")
    with pytest.raises(ModelError, match="not one that to_onnx"):
        dequantize.run(tmp_path / "model", checkpoint, tmp_path / "again")
