"""The Trainer for batches of voices: each clip is also classified relative to its own voice."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.data import Sampler

from train.trainer.emotion_trainer import ClipTrainer, mixed_targets
from train.trainer.relative_loss import Population, relative_loss
from train.trainer.voices import InOrder, Voices


class VoiceTrainer(ClipTrainer):
    """Trainer whose batches are complete groups of `voices.Voices`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Take the arguments of transformers' Trainer; `train_dataset` is a `Voices`."""
        super().__init__(*args, **kwargs)
        self.population = Population()

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Train as transformers' Trainer does, with a new population."""
        self.population = Population()
        return super().train(*args, **kwargs)

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler | None:
        voices = train_dataset if train_dataset is not None else self.train_dataset
        assert isinstance(voices, Voices)
        return InOrder(voices)

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """Loss of a batch; in evaluation, that of `ClipTrainer`."""
        voices = inputs.pop("voices", None)
        if voices is None or not model.training:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        data = self.train_dataset
        assert isinstance(data, Voices)
        outputs = model(input_values=inputs["input_values"])
        logits, labels = outputs.logits.float(), inputs["labels"]
        shares = torch.tensor(data.class_shares(), dtype=torch.float32, device=voices.device)
        soft_labels = inputs.get("soft_labels")
        if soft_labels is None:
            soft_labels = torch.full_like(logits, torch.nan)
        soft_labels = soft_labels * shares  # their model learnt all classes as equally frequent
        targets = mixed_targets(
            labels,
            soft_labels / soft_labels.sum(dim=1, keepdim=True),
            self.args.soft_label_weight,
            self.args.label_smoothing_factor,
        )
        loss = relative_loss(logits, labels, targets, voices, data.neutral, self.population, shares)
        return (loss, outputs) if return_outputs else loss
