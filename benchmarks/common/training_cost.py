"""Counts the multiply-accumulates of a recipe's training from a config, without weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode
from transformers import HubertConfig, HubertForSequenceClassification

from train.trainer.finetune_options import FinetuneArguments, window_range
from train.trainer.frozen_trunk import cacheable, freeze


@dataclass(frozen=True)
class TrainingCost:
    """Multiply-accumulates of training on one clip."""

    trunk: float
    """Of the frozen layers, which are run forward only."""

    rest: float
    """Of the rest, forward and backward."""

    stored: bool
    """Whether the trunk is run only once and its output stored, instead of in each epoch."""

    def of_epochs(self, epochs: float) -> float:
        """Multiply-accumulates of training on one clip for `epochs`."""
        return self.trunk * (1 if self.stored else epochs) + self.rest * epochs


def training_cost(config: HubertConfig, recipe: FinetuneArguments, seconds: float) -> TrainingCost:
    """Count the multiply-accumulates of training on one clip.

    Args:
        config: of the base model, at 16 kHz.
        recipe: the options of the training.
        seconds: length of the clip, of which a recipe may use only a part.
    """
    if recipe.weighted_layer_sum is not None:
        config.use_weighted_layer_sum = recipe.weighted_layer_sum
    if window := window_range(recipe.train_window):
        seconds = min(seconds, float(np.mean(window)))
    with FakeTensorMode():  # computes shapes only
        model = HubertForSequenceClassification._from_config(config, attn_implementation="eager")
        freeze(model, recipe.trainable_layers)
        model.eval()  # the same work without masks and dropped layers
        samples, label = torch.zeros(1, round(seconds * 16_000)), torch.zeros(1, dtype=torch.long)
        with FlopCounterMode(display=False) as trunk:
            hidden = model.base_model.trunk(samples)
        with FlopCounterMode(display=False) as rest:
            model(hidden, labels=label).loss.backward()
    stored = (
        recipe.cache_trunk
        and not recipe.train_window
        and not recipe.augment
        and cacheable(config, recipe.trainable_layers)
    )
    return TrainingCost(trunk.get_total_flops() / 2, rest.get_total_flops() / 2, stored)
