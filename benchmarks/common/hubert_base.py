"""Classifiers with random weights, above all one of HuBERT-base's shape: for latency alone.

Time depends on the shape, not on the weights' values, and its weights are to be had from a hub
only. It is what most people would run for speech emotion, so it is what a small model's speed is
told against. Never score it.
"""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import HubertConfig, HubertForSequenceClassification, Wav2Vec2FeatureExtractor

HUBERT_BASE = "HuBERT-base"

SEED = 0
"""Of the random weights."""


def write_hubert_base(folder: Path, labels: list[str]) -> Path:
    """Write a checkpoint of HuBERT-base's shape with a class for each of `labels`."""
    config = HubertConfig(
        id2label=dict(enumerate(labels)),
        label2id={label: index for index, label in enumerate(labels)},
    )
    return _write(folder, config)


def write_random(folder: Path, config: Path) -> Path:
    """Write a checkpoint of the HuBERT that the file `config` tells the shape of."""
    return _write(folder, HubertConfig.from_json_file(config))


def _write(folder: Path, config: HubertConfig) -> Path:
    torch.manual_seed(SEED)
    HubertForSequenceClassification(config).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)
    return folder
