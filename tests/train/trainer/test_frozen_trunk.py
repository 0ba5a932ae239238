"""A frozen trunk: what is frozen, and that its stored output stands for it exactly."""

from __future__ import annotations

from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModelForAudioClassification,
    HubertConfig,
    HubertForSequenceClassification,
    Wav2Vec2FeatureExtractor,
)

from emo_listen.errors import ModelError
from train.backbones.kinds import BACKBONES
from train.trainer.clips import Clips, Collator
from train.trainer.emotion_trainer import logits_without_padding
from train.trainer.frozen_trunk import cacheable, freeze, store_trunk_outputs

SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
    "classifier_proj_size": 16,
    "num_labels": 3,
}
CLASSIC = {
    "conv_dim": (16, 16, 16),
    "conv_kernel": (10, 8, 4),
    "conv_stride": (5, 8, 8),
    "feat_extract_norm": "group",
    "do_stable_layer_norm": False,
}
COMPACT = {  # the front end and norms of the bundled model, and no dropout as there
    "conv_dim": (16, 32, 32, 32),
    "conv_kernel": (400, 1, 3, 3),
    "conv_stride": (160, 1, 1, 2),
    "conv_bias": True,
    "feat_extract_norm": "layer",
    "do_stable_layer_norm": True,
    "hidden_dropout": 0.0,
    "activation_dropout": 0.0,
    "attention_dropout": 0.0,
    "feat_proj_dropout": 0.0,
    "layerdrop": 0.0,
}
HUBERTS = pytest.mark.parametrize("shape", [CLASSIC, COMPACT], ids=["classic", "compact"])
LAYERS = pytest.mark.parametrize("layers", [-1, 0, 1, 3])


def hubert(shape: dict, **more) -> HubertForSequenceClassification:
    torch.manual_seed(0)
    return HubertForSequenceClassification(HubertConfig(**{**SMALL, **shape, **more})).eval()


def extractor(shape: dict) -> Wav2Vec2FeatureExtractor:
    return Wav2Vec2FeatureExtractor(return_attention_mask=shape["feat_extract_norm"] == "layer")


@pytest.fixture
def clips_of():
    """Make clips of noise of different lengths for a model shape."""

    def make(shape: dict) -> Clips:
        random = np.random.default_rng(0)
        sounds = [(random.normal(0, 3000, n)).astype(np.int16) for n in (9000, 12345, 16000, 9000)]
        rows = datasets.Dataset.from_dict(
            {
                "samples": sounds,
                "length": [len(sound) for sound in sounds],
                "digest": [str(i) for i in range(len(sounds))],
                "label": ["a", "b", "c", "a"],
            },
            features=datasets.Features(
                {
                    "samples": datasets.List(datasets.Value("int16")),
                    "length": datasets.Value("int64"),
                    "digest": datasets.Value("string"),
                    "label": datasets.Value("string"),
                }
            ),
        )
        return Clips(rows, {"a": 0, "b": 1, "c": 2}, extractor(shape))

    return make


def alone(model, clips: Clips) -> torch.Tensor:
    """Logits of each clip by itself, (n_clips, n_classes)."""
    with torch.no_grad():
        return torch.cat(
            [
                model(torch.from_numpy(clips[i]["input_values"])[None]).logits
                for i in range(len(clips))
            ]
        )


@HUBERTS
@LAYERS
def test_stored_outputs_give_the_logits_of_the_whole_model(shape, layers, clips_of, tmp_path):
    clips = clips_of(shape)
    model = hubert(shape)
    expected = alone(model, clips)
    assert expected.std(dim=0).min() > 1e-4  # the clips differ for the model
    freeze(model, layers)
    torch.testing.assert_close(alone(model, clips), expected)
    stored = store_trunk_outputs(model, clips, tmp_path, torch.device("cpu"), "some")
    batch = Collator()([stored[i] for i in range(len(clips))])
    assert batch["input_values"].dim() == 3
    assert batch["labels"].tolist() == [0, 1, 2, 0]
    with torch.no_grad():
        padded = model(batch["input_values"].clone(), batch["attention_mask"]).logits
        unpadded = logits_without_padding(model, batch["input_values"], batch["lengths"])
    scale = expected.std()
    assert (padded - expected).abs().max() < 0.02 * scale
    assert (unpadded - expected).abs().max() < 0.02 * scale


@HUBERTS
@LAYERS
def test_stored_outputs_give_the_gradients_of_the_whole_model(shape, layers, clips_of, tmp_path):
    model = hubert(
        shape, mask_time_prob=0.0, layerdrop=0.0, hidden_dropout=0.0, attention_dropout=0.0
    )
    freeze(model, layers)
    clips = clips_of(shape)
    stored = store_trunk_outputs(model, clips, tmp_path, torch.device("cpu"), "some")
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    gradients = []
    for dataset in (clips, stored):
        model.train()
        model.zero_grad()
        # Two clips of one length, so that padding has no part in it.
        batch = Collator()([dataset[0], dataset[3]])
        batch.pop("lengths")
        model(**batch).loss.backward()
        gradients.append(
            {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
        )
    from_sound, from_stored = gradients
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert from_sound.keys() == from_stored.keys() == trained - {"hubert.masked_spec_embed"}
    for name, gradient in from_sound.items():
        error = (from_stored[name] - gradient).norm() / (gradient.norm() + 1e-6)
        assert error < 0.02, name


@pytest.mark.parametrize("layers", [-1, 3])
@HUBERTS
def test_a_weighted_sum_of_all_states_from_stored_outputs(shape, layers, clips_of, tmp_path):
    model = hubert(shape, use_weighted_layer_sum=True)
    with torch.no_grad():
        model.layer_weights.copy_(torch.tensor([1.0, -1.0, 2.0, 0.0]))
    assert cacheable(model.config, layers)
    assert not cacheable(model.config, 2)
    clips = clips_of(shape)
    expected = alone(model, clips)
    freeze(model, layers)
    torch.testing.assert_close(alone(model, clips), expected)
    stored = store_trunk_outputs(model, clips, tmp_path, torch.device("cpu"), "some")
    batch = Collator()([stored[i] for i in range(len(clips))])
    lengths = batch.pop("lengths")
    with torch.no_grad():
        unpadded = logits_without_padding(model, batch["input_values"], lengths)
    assert (unpadded - expected).abs().max() < 0.02 * expected.std()
    model.train()
    model(**batch).loss.backward()
    assert model.layer_weights.grad.abs().min() > 0


@HUBERTS
@LAYERS
@pytest.mark.parametrize("kind", ["hubert", "wavlm"])
def test_padding_never_enters_the_trunk(shape, layers, kind, clips_of):
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **{**SMALL, **shape})
    model = AutoModelForAudioClassification.from_config(config).eval()
    clips = clips_of(shape)
    expected = alone(model, clips)
    freeze(model, layers)
    batch = Collator()([clips[i] for i in range(len(clips))])
    noise = torch.where(batch["attention_mask"] > 0, batch["input_values"], torch.randn(4, 16000))
    with torch.no_grad():
        logits = model(noise, batch["attention_mask"]).logits
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-5)


@LAYERS
def test_autocast_reaches_the_layers_only(layers, clips_of):
    model = hubert(CLASSIC)
    clips = clips_of(CLASSIC)
    freeze(model, layers)
    batch = Collator()([clips[i] for i in range(len(clips))])
    mask = batch["attention_mask"]
    expected = model.hubert.trunk(batch["input_values"], mask)
    seen: dict[str, set[torch.dtype]] = {}

    def note(name: str):
        def hook(_module, _given, output):
            seen.setdefault(name, set()).add(output.dtype)

        return hook

    base = model.hubert
    base.feature_projection.projection.register_forward_hook(note("projection"))
    base.encoder.pos_conv_embed.conv.register_forward_hook(note("positions"))
    base.feature_extractor.conv_layers[0].conv.register_forward_hook(note("front end"))
    for i, layer in enumerate(base.encoder.layers):
        layer.attention.q_proj.register_forward_hook(note(f"layer {i}"))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(base.trunk(batch["input_values"], mask), expected)
        seen.clear()
        model(batch["input_values"], mask)
    below = {"front end", "projection", "positions"}
    trained = 3 if layers < 0 else layers
    lower = {f"layer {i}" for i in range(3 - trained)}
    upper = {f"layer {i}" for i in range(3 - trained, 3)}
    assert seen.keys() == below | lower | upper
    assert all(seen[name] == {torch.float32} for name in below | lower)
    assert all(seen[name] == {torch.bfloat16} for name in upper)


@HUBERTS
def test_what_is_trained(shape):
    def trained(layers: int) -> set[str]:
        model = hubert(shape)
        freeze(model, layers)
        return {name for name, p in model.named_parameters() if p.requires_grad}

    head = {f"{part}.{kind}" for part in ("projector", "classifier") for kind in ("weight", "bias")}
    assert trained(0) == head
    top = trained(1) - head
    assert {name.split(".")[3] for name in top if "layers" in name} == {"2"}
    assert ("hubert.encoder.layer_norm.weight" in top) == shape["do_stable_layer_norm"]
    everything = {name for name, _ in hubert(shape).named_parameters()}
    assert everything - trained(-1) == {n for n in everything if "feature_extractor" in n}


def test_the_trunk_is_never_in_training_mode():
    model = hubert(CLASSIC)
    freeze(model, 1)
    model.train()
    layers = model.hubert.encoder.layers
    assert [layer.training for layer in layers] == [False, False, True]
    assert layers[2].dropout.training
    assert not model.hubert.training  # so no SpecAugment
    assert not model.hubert.encoder.dropout.training
    model.eval()
    assert not layers[2].training
    whole = hubert(CLASSIC)
    freeze(whole, -1)
    whole.train()
    assert whole.hubert.training and whole.hubert.encoder.layers[0].training


def test_the_trunk_takes_no_random_numbers():
    model = hubert(COMPACT)
    freeze(model, 1)
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    model.hubert.trunk(torch.zeros(1, 8000))
    assert torch.rand(1) == expected


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", BACKBONES)
def test_every_backbone_is_frozen_and_its_outputs_stored(kind, weighted, clips_of, tmp_path):
    torch.manual_seed(0)
    shape = {**SMALL, **CLASSIC, "use_weighted_layer_sum": weighted}
    config = AutoConfig.for_model(kind, **shape)
    model = AutoModelForAudioClassification.from_config(config).eval()
    clips = clips_of(CLASSIC)
    expected = alone(model, clips)
    freeze(model, 1)
    torch.testing.assert_close(alone(model, clips), expected)
    if cacheable(config, 1):
        stored = store_trunk_outputs(model, clips, tmp_path, torch.device("cpu"), "some")
        with torch.no_grad():
            values = [torch.from_numpy(stored[i]["input_values"])[None] for i in range(len(clips))]
            logits = torch.cat([model(value).logits for value in values])
        torch.testing.assert_close(logits, expected, rtol=0, atol=2e-3)  # stored in 16 bits
    model.train()
    batch = Collator()([clips[0], clips[3]])
    batch.pop("lengths")
    model(**batch).loss.backward()
    graded = {name for name, p in model.named_parameters() if p.grad is not None}
    assert any("layers.2." in name for name in graded)
    assert not any("layers.1." in name or "feature_extractor" in name for name in graded)


def test_the_cache_belongs_to_the_weights_and_the_clips(clips_of, tmp_path):
    clips = clips_of(COMPACT)
    model = hubert(COMPACT)
    freeze(model, 1)
    for _ in range(2):
        store_trunk_outputs(model, clips, tmp_path, torch.device("cpu"), "some")
    with torch.no_grad():
        model.hubert.encoder.layers[2].final_layer_norm.weight.add_(1)  # trained, not the trunk's
    store_trunk_outputs(model, clips, tmp_path, torch.device("cpu"), "some")
    assert len(files(tmp_path)) == 1
    with torch.no_grad():
        model.hubert.encoder.layers[0].final_layer_norm.weight.add_(1)
    store_trunk_outputs(model, clips, tmp_path, torch.device("cpu"), "some")
    assert len(files(tmp_path)) == 2
    clips.digests[0] = "another sound"
    store_trunk_outputs(model, clips, tmp_path, torch.device("cpu"), "some")
    assert len(files(tmp_path)) == 3


def files(folder: Path) -> list[Path]:
    return list(folder.glob("trunk-*.arrow"))


def test_more_layers_than_there_are():
    with pytest.raises(ModelError, match="has 3 encoder layers"):
        freeze(hubert(CLASSIC), 4)


def test_evaluation_does_not_depend_on_padding(clips_of):
    model = hubert(CLASSIC)
    clips = clips_of(CLASSIC)
    batch = Collator()([clips[i] for i in range(len(clips))])
    assert not clips.extractor.return_attention_mask  # this base was trained without a mask
    expected = alone(model, clips)
    with torch.no_grad():
        padded = model(batch["input_values"]).logits
        unpadded = logits_without_padding(model, batch["input_values"], batch["lengths"])
    assert (padded - expected).abs().max() > 1e-3  # padding does move this base's logits
    torch.testing.assert_close(unpadded, expected, rtol=0, atol=1e-5)
