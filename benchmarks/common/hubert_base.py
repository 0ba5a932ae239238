"""Classifiers with random weights, such as one of HuBERT-base's shape, for latency only.

Latency depends on the shape, not on the weights' values, and HuBERT-base's weights are available
only from a hub. It is the usual choice for speech emotion recognition, and so the reference for the
speed of small models. Never score it.
"""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import HubertConfig, HubertForSequenceClassification, Wav2Vec2FeatureExtractor

HUBERT_BASE = "HuBERT-base"

SEED = 0
"""Seed of the random weights."""


def write_hubert_base(folder: Path, labels: list[str]) -> Path:
    """Write a checkpoint of HuBERT-base's shape with the classes `labels`."""
    config = HubertConfig(
        id2label=dict(enumerate(labels)),
        label2id={label: index for index, label in enumerate(labels)},
    )
    return _write(folder, config)


def write_random(folder: Path, config: Path) -> Path:
    """Write a checkpoint of the HuBERT described by the file `config`."""
    return _write(folder, HubertConfig.from_json_file(config))


def _write(folder: Path, config: HubertConfig) -> Path:
    torch.manual_seed(SEED)
    HubertForSequenceClassification(config).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=True).save_pretrained(folder)
    return folder
