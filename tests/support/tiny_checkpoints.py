"""Tiny HuBERT classifiers with random weights, saved as the Trainer saves them."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import torch
from transformers import (
    AutoConfig,
    AutoModelForAudioClassification,
    HubertConfig,
    HubertForSequenceClassification,
    Wav2Vec2FeatureExtractor,
)

LABELS = ["anger", "disgust", "fear", "happiness", "neutral", "sadness"]

NARROW = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "classifier_proj_size": 32,
    "initializer_range": 0.1,
    "id2label": dict(enumerate(LABELS)),
    "label2id": {label: i for i, label in enumerate(LABELS)},
}
"""Width and depth of every tiny model."""

COMPACT = {
    "conv_dim": (32, 32, 48, 64),
    "conv_kernel": (400, 1, 3, 3),
    "conv_stride": (160, 1, 1, 2),
    "feat_extract_norm": "layer",
    "conv_bias": True,
    "do_stable_layer_norm": True,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}
"""Shape of a compact student's front end, narrower."""

BASE = {
    "conv_dim": (32,) * 7,
    "feat_extract_norm": "group",
    "conv_bias": False,
    "do_stable_layer_norm": False,
    "num_conv_pos_embeddings": 128,
    "num_conv_pos_embedding_groups": 16,
}
"""HuBERT-base's front end (its kernels and strides are HubertConfig's defaults), narrower."""


def make_model(shape: dict, seed: int = 0, **changes) -> HubertForSequenceClassification:
    torch.manual_seed(seed)
    config = HubertConfig(**{**NARROW, **shape, **changes})
    return HubertForSequenceClassification(config).eval()


def save(model: HubertForSequenceClassification, folder: Path) -> Path:
    model.save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)
    return folder


def balance(model: HubertForSequenceClassification, windows: list[np.ndarray]) -> list[str]:
    """Shift the logits so that `windows` get different labels, and return those labels."""
    with torch.no_grad():
        logits = torch.cat([model(torch.from_numpy(normalize(w))[None]).logits for w in windows])
        model.classifier.bias -= logits.mean(dim=0)
        logits -= logits.mean(dim=0)
    return [LABELS[i] for i in logits.argmax(dim=1)]


def normalize(samples: np.ndarray) -> np.ndarray:
    return ((samples - samples.mean()) / np.sqrt(samples.var() + 1e-7)).astype(np.float32)


def rescaled(
    model: HubertForSequenceClassification, factor: float
) -> HubertForSequenceClassification:
    """Copy `model`, one channel of each layer norm `factor` times larger, what reads it smaller.

    The function computed stays the same. A large factor makes an outlier among the channels, as
    models such as Whisper have; a small one, outliers among the weights that read it.
    """
    model = copy.deepcopy(model)
    with torch.no_grad():
        for layer in model.hubert.encoder.layers:
            attention = layer.attention
            for norm, readers in (
                (layer.layer_norm, (attention.q_proj, attention.k_proj, attention.v_proj)),
                (layer.final_layer_norm, (layer.feed_forward.intermediate_dense,)),
            ):
                norm.weight[0] *= factor
                norm.bias[0] *= factor
                for reader in readers:
                    reader.weight[:, 0] /= factor
    return model


LARGE = {
    "conv_dim": (32,) * 7,
    "feat_extract_norm": "layer",
    "conv_bias": True,
    "do_stable_layer_norm": True,
    "num_conv_pos_embeddings": 128,
    "num_conv_pos_embedding_groups": 16,
}
"""The front end of the large models, which are given an attention mask, narrower."""


def make_kind(kind: str, shape: dict, **changes):
    """Make a classifier of a kind in `train.backbones.kinds`; weights of a layer sum are random."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **NARROW, **shape, **changes)
    model = AutoModelForAudioClassification.from_config(config)
    if model.config.use_weighted_layer_sum:
        torch.nn.init.normal_(model.layer_weights)
    return model.eval()
