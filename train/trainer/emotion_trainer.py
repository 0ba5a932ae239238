"""The Trainer for clips: batches of similar length in training, no padding in evaluation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch.utils.data import Sampler, SequentialSampler
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.modeling_outputs import SequenceClassifierOutput
from transformers.trainer_utils import IntervalStrategy, SaveStrategy

from train.backbones.kinds import norm_is_last
from train.trainer.clips import LengthGroupedBatches, rows_by_length
from train.trainer.weight_average import AveragingTrainer


@dataclass
class ClipTrainingArguments(TrainingArguments):
    """transformers' arguments with defaults for short labelled clips, and some more."""

    output_dir: str | None = field(
        default="runs/finetune", metadata={"help": "Folder for checkpoints and reports."}
    )
    num_train_epochs: float = field(
        default=5.0, metadata={"help": "Passes over the training clips."}
    )
    per_device_train_batch_size: int = field(default=32, metadata={"help": "Clips per batch."})
    gradient_accumulation_steps: int = field(default=4, metadata={"help": "Batches per step."})
    per_device_eval_batch_size: int = field(default=32, metadata={"help": "Clips per batch."})
    learning_rate: float = field(default=1e-4, metadata={"help": "Peak learning rate."})
    warmup_ratio: float = field(default=0.1, metadata={"help": "Fraction of steps with warm-up."})
    group_by_length: bool = field(
        default=True, metadata={"help": "Put clips of similar length into a batch."}
    )
    eval_strategy: IntervalStrategy | str = field(
        default="epoch", metadata={"help": "When to score the validation clips."}
    )
    save_strategy: SaveStrategy | str = field(
        default="epoch", metadata={"help": "When to write a checkpoint."}
    )
    save_total_limit: int | None = field(default=2, metadata={"help": "Checkpoints to keep."})
    load_best_model_at_end: bool = field(
        default=True, metadata={"help": "End with the best checkpoint, not the last."}
    )
    metric_for_best_model: str | None = field(
        default="uar",
        metadata={"help": "What the best checkpoint is chosen by: uar, accuracy, macro_f1, loss."},
    )
    logging_steps: float = field(default=10, metadata={"help": "Steps between log lines."})
    report_to: None | str | list[str] = field(  # noqa: RUF036 (HfArgumentParser needs this order)
        default="none", metadata={"help": "wandb, tensorboard, trackio, … or none."}
    )
    head_learning_rate: float | None = field(
        default=None,
        metadata={"help": "Peak learning rate of the head; by default learning_rate."},
    )
    layer_decay: float = field(
        default=1.0,
        metadata={
            "help": "Learning rate of each encoder layer divided by that of the layer above, 0 to "
            "1. The top layer has learning_rate; what is below the layers counts as one more."
        },
    )
    average_decay: float = field(
        default=0.0,
        metadata={
            "help": "Decay per step of an exponential moving average of the weights, which is "
            "scored and saved instead of them; 0 (no average) to 1."
        },
    )
    soft_label_weight: float = field(
        default=0.5,
        metadata={
            "help": "Weight of --soft_labels in the loss of a training clip that has them, 0 to 1; "
            "its label has the rest."
        },
    )
    ddp_timeout: int = field(
        default=6 * 3600,
        metadata={"help": "Seconds that processes wait while the first one fills the caches."},
    )

    def __post_init__(self) -> None:
        """Check the ranges of options.

        Raises:
            ValueError: an option is out of range.
        """
        super().__post_init__()
        if not 0 < self.layer_decay <= 1:
            raise ValueError(f"--layer_decay {self.layer_decay} must be above 0 and at most 1.")
        if not 0 <= self.average_decay < 1:
            raise ValueError(
                f"--average_decay {self.average_decay} must be at least 0 and below 1."
            )
        if not 0 <= self.soft_label_weight <= 1:
            raise ValueError(f"--soft_label_weight {self.soft_label_weight} must be 0 to 1.")
        self.remove_unused_columns = False  # the collator needs everything that `Clips` returns


class EpochOfData(TrainerCallback):
    """Passes the epoch on to training data that depend on it."""

    def on_epoch_begin(
        self, args: Any, state: Any, control: Any, train_dataloader: Any, **kwargs: Any
    ) -> None:
        """Pass the epoch on; accelerate does so only with some of its samplers."""
        if hasattr(train_dataloader.dataset, "set_epoch"):
            train_dataloader.dataset.set_epoch(int(state.epoch))


class ClipTrainer(AveragingTrainer):
    """Trainer for batches of `clips.Collator`, which have `lengths`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Take the arguments of transformers' Trainer."""
        super().__init__(*args, **kwargs)
        self.average_decay = self.args.average_decay
        self.add_callback(EpochOfData())

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler | None:
        dataset = train_dataset if train_dataset is not None else self.train_dataset
        if not self.args.group_by_length:
            return super()._get_train_sampler(train_dataset)
        seed = self.args.data_seed if self.args.data_seed is not None else self.args.seed
        return LengthGroupedBatches(dataset.lengths_in, self.args.train_batch_size, seed)

    def _get_eval_sampler(self, eval_dataset: Any) -> Sampler | None:
        return SequentialSampler(eval_dataset)

    def create_optimizer(self) -> torch.optim.Optimizer:
        """Make transformers' optimizer, its groups split by learning rate."""
        args = self.args
        made_before = self.optimizer is not None
        optimizer = super().create_optimizer()
        if made_before or (args.head_learning_rate is None and args.layer_decay == 1):
            return optimizer
        rates = learning_rates(
            self.model, args.learning_rate, args.layer_decay, args.head_learning_rate
        )
        of_parameter = {p: rates[name] for name, p in self.model.named_parameters()}
        groups = []
        for group in optimizer.param_groups:
            by_rate: dict[float, list[torch.nn.Parameter]] = {}
            for parameter in group["params"]:
                by_rate.setdefault(of_parameter[parameter], []).append(parameter)
            # The Trainer logs the first group's rate.
            for rate in sorted(by_rate, key=lambda rate: rate != args.learning_rate):
                groups.append({**group, "params": by_rate[rate], "lr": rate})
        optimizer.param_groups = groups
        return optimizer

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """Loss of a batch; in evaluation, clips are run without padding."""
        lengths = inputs.pop("lengths")
        soft_labels = inputs.pop("soft_labels", None)
        smoothing = self.args.label_smoothing_factor
        if model.training:
            if soft_labels is None:
                return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
            labels = inputs.pop("labels")
            outputs = model(**inputs)
            targets = mixed_targets(labels, soft_labels, self.args.soft_label_weight, smoothing)
            loss = torch.nn.functional.cross_entropy(outputs.logits.float(), targets)
            return (loss, outputs) if return_outputs else loss
        logits = logits_without_padding(model, inputs["input_values"], lengths)
        loss = torch.nn.functional.cross_entropy(
            logits, inputs["labels"], label_smoothing=smoothing
        )
        return (loss, SequenceClassifierOutput(logits=logits)) if return_outputs else loss


def mixed_targets(
    labels: torch.Tensor, soft_labels: torch.Tensor, weight: float, smoothing: float
) -> torch.Tensor:
    """Target probabilities (n, n_classes): the weighted mean of both kinds of labels.

    Args:
        labels: (n,) classes.
        soft_labels: (n, n_classes) probabilities, NaN for clips without soft labels.
        weight: of the soft labels, 0 to 1.
        smoothing: of the labels, 0 to 1: the part spread over all classes.
    """
    n_classes = soft_labels.shape[1]
    hard = torch.nn.functional.one_hot(labels, n_classes) * (1 - smoothing) + smoothing / n_classes
    return torch.where(soft_labels.isnan(), hard, (1 - weight) * hard + weight * soft_labels)


def learning_rates(
    model: Any, top: float, layer_decay: float, head: float | None
) -> dict[str, float]:
    """Peak learning rate of each parameter, by name.

    Args:
        model: a classifier whose base has `encoder.layers`.
        top: rate of the top encoder layer, and of a norm above it.
        layer_decay: rate of each layer divided by that of the layer above.
        head: rate of everything outside the base; None for `top`.
    """
    base = model.base_model
    n_layers = len(base.encoder.layers)
    inside = f"{model.base_model_prefix}."
    rates = {}
    for name, _ in model.named_parameters():
        below_top = n_layers  # feature projection, positions, and all else below the layers
        parts = name.removeprefix(inside).split(".")
        if not name.startswith(inside):
            rates[name] = top if head is None else head
            continue
        if parts[:2] == ["encoder", "layers"]:
            below_top = n_layers - 1 - int(parts[2])
        elif parts[:2] == ["encoder", "layer_norm"] and norm_is_last(base.config):
            below_top = 0
        rates[name] = top * layer_decay**below_top
    return rates


def logits_without_padding(
    model: Any, input_values: torch.Tensor, lengths: torch.Tensor
) -> torch.Tensor:
    """Run a padded batch as batches of equal length, so that padding does not affect logits.

    Models that normalise their first convolution over time (`feat_extract_norm == "group"`) treat
    padding as sound, with or without a mask; and the listener never pads.

    Args:
        model: a classifier.
        input_values: (n, n_samples) or (n, n_frames, width), padded at the end.
        lengths: (n,) true lengths along axis 1.

    Returns:
        Logits (n, n_classes), float32.
    """
    parts: dict[int, torch.Tensor] = {}
    for length, rows in rows_by_length(lengths):
        logits = model(input_values=input_values[rows, :length]).logits.float()
        parts.update(zip(rows.tolist(), logits, strict=True))
    return torch.stack([parts[row] for row in range(len(lengths))])


def total_steps(trainer: Trainer) -> int:
    """Optimizer steps of the whole run, as the Trainer counts them."""
    args = trainer.args
    batch_size = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
    loader = trainer.get_train_dataloader()
    return int(trainer.set_initial_training_values(args, loader, batch_size)[-1])


def limit_to_run(args: TrainingArguments, steps: int) -> list[str]:
    """Lower `save_steps` and `eval_steps` that exceed the run's steps; return a line for each."""
    lines = []
    if args.save_strategy == SaveStrategy.STEPS and args.save_steps > steps:
        lines.append(
            f"--save_steps {args.save_steps} exceeds the run's {steps} steps, so no checkpoint "
            f"would be written: changed to {steps}."
        )
        args.save_steps = steps
    if args.eval_strategy == IntervalStrategy.STEPS and args.eval_steps > steps:
        lines.append(
            f"--eval_steps {args.eval_steps} exceeds the run's {steps} steps: changed to {steps}."
        )
        args.eval_steps = steps
    return lines
