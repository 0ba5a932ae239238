"""The Trainer for clips: grouped by length in training, never padded in evaluation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch.utils.data import Sampler, SequentialSampler
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.modeling_outputs import SequenceClassifierOutput
from transformers.trainer_utils import IntervalStrategy, SaveStrategy

from train.trainer.clips import Clips, LengthGroupedBatches, rows_by_length
from train.trainer.weight_average import AveragingTrainer


@dataclass
class ClipTrainingArguments(TrainingArguments):
    """transformers' own arguments, with defaults for short labelled clips."""

    output_dir: str | None = field(
        default="runs/finetune", metadata={"help": "Folder of the checkpoints and the reports."}
    )
    num_train_epochs: float = field(default=5.0, metadata={"help": "Passes over the clips."})
    per_device_train_batch_size: int = field(default=32, metadata={"help": "Clips in a batch."})
    gradient_accumulation_steps: int = field(default=4, metadata={"help": "Batches in a step."})
    per_device_eval_batch_size: int = field(default=32, metadata={"help": "Clips in a batch."})
    learning_rate: float = field(default=1e-4, metadata={"help": "AdamW's highest rate."})
    warmup_ratio: float = field(default=0.1, metadata={"help": "Fraction of steps to warm up."})
    group_by_length: bool = field(default=True, metadata={"help": "Similar lengths in a batch."})
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
        default="uar", metadata={"help": "What best means: uar, accuracy, macro_f1, loss."}
    )
    logging_steps: float = field(default=10, metadata={"help": "Steps between two log lines."})
    report_to: None | str | list[str] = field(  # noqa: RUF036 (HfArgumentParser needs this order)
        default="none", metadata={"help": "wandb, tensorboard, trackio, ... or none."}
    )
    head_learning_rate: float | None = field(
        default=None,
        metadata={"help": "Highest rate of the classifier's head; learning_rate by default."},
    )
    layer_decay: float = field(
        default=1.0,
        metadata={
            "help": "Learning rate of each encoder layer over that of the one above, 0 to 1; the "
            "top one has learning_rate, and what lies below the layers the rate of one more."
        },
    )
    average_decay: float = field(
        default=0.0,
        metadata={
            "help": "Score, save and keep an exponential moving average of the weights, of which a "
            "step keeps so much, 0 (no average) to 1; see weight_average.py."
        },
    )
    soft_label_weight: float = field(
        default=0.5,
        metadata={
            "help": "What --soft_labels weigh in the loss of a training clip that has them, 0 to "
            "1; its label weighs the rest."
        },
    )
    ddp_timeout: int = field(
        default=6 * 3600,
        metadata={"help": "Seconds that processes wait for the first one to fill the caches."},
    )

    def __post_init__(self) -> None:
        """Set what the clips need whatever was given.

        Raises:
            ValueError: an option is out of its range.
        """
        super().__post_init__()
        if not 0 < self.layer_decay <= 1:
            raise ValueError(f"--layer_decay {self.layer_decay} must be above 0 and at most 1.")
        if not 0 <= self.average_decay < 1:
            raise ValueError(f"--average_decay {self.average_decay} must be 0 to below 1.")
        if not 0 <= self.soft_label_weight <= 1:
            raise ValueError(f"--soft_label_weight {self.soft_label_weight} must be 0 to 1.")
        self.remove_unused_columns = False  # the collator takes what `Clips` returns


class EpochOfClips(TrainerCallback):
    """Tells the training clips which epoch it is, where they depend on it."""

    def on_epoch_begin(
        self, args: Any, state: Any, control: Any, train_dataloader: Any, **kwargs: Any
    ) -> None:
        """Pass the epoch on; accelerate does so only with some of its samplers."""
        if isinstance(train_dataloader.dataset, Clips):
            train_dataloader.dataset.set_epoch(int(state.epoch))


class ClipTrainer(AveragingTrainer):
    """Trainer whose batches have `lengths`, as `clips.Collator` makes them."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Take what transformers' Trainer takes."""
        super().__init__(*args, **kwargs)
        self.average_decay = self.args.average_decay
        self.add_callback(EpochOfClips())

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler | None:
        dataset = train_dataset if train_dataset is not None else self.train_dataset
        if not self.args.group_by_length:
            return super()._get_train_sampler(train_dataset)
        seed = self.args.data_seed if self.args.data_seed is not None else self.args.seed
        return LengthGroupedBatches(dataset.lengths_in, self.args.train_batch_size, seed)

    def _get_eval_sampler(self, eval_dataset: Any) -> Sampler | None:
        return SequentialSampler(eval_dataset)

    def create_optimizer(self) -> torch.optim.Optimizer:
        """Make transformers' own optimizer, its groups split where learning rates differ."""
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
            # The first group's rate is the one that the Trainer logs.
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
        """Loss of a batch; in evaluation each clip is run without padding."""
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
    """Probabilities (n, n_classes) whose cross-entropy is the mean of that of both labels.

    Args:
        labels: (n,) classes.
        soft_labels: (n, n_classes) probabilities, NaN for clips that have the label only.
        weight: of the soft labels, 0 to 1.
        smoothing: of the labels, 0 to 1: what is spread over all classes.
    """
    n_classes = soft_labels.shape[1]
    hard = torch.nn.functional.one_hot(labels, n_classes) * (1 - smoothing) + smoothing / n_classes
    return torch.where(soft_labels.isnan(), hard, (1 - weight) * hard + weight * soft_labels)


def learning_rates(
    model: Any, top: float, layer_decay: float, head: float | None
) -> dict[str, float]:
    """Highest learning rate of each parameter by its name.

    Args:
        model: a classifier whose base has `encoder.layers`.
        top: rate of the top encoder layer, and of a norm above it.
        layer_decay: rate of each layer over that of the one above.
        head: rate of all outside the base; None: `top`.
    """
    base = model.base_model
    n_layers = len(base.encoder.layers)
    inside = f"{model.base_model_prefix}."
    rates = {}
    for name, _ in model.named_parameters():
        below_top = n_layers  # feature projection, positions, and what else precedes the layers
        parts = name.removeprefix(inside).split(".")
        if not name.startswith(inside):
            rates[name] = top if head is None else head
            continue
        if parts[:2] == ["encoder", "layers"]:
            below_top = n_layers - 1 - int(parts[2])
        elif parts[:2] == ["encoder", "layer_norm"] and base.config.do_stable_layer_norm:
            below_top = 0
        rates[name] = top * layer_decay**below_top
    return rates


def logits_without_padding(
    model: Any, input_values: torch.Tensor, lengths: torch.Tensor
) -> torch.Tensor:
    """Run a padded batch as smaller ones of equal length, so that padding moves no logits.

    Bases that normalise their first convolution over time (`feat_extract_norm == "group"`) take
    padding for sound, with or without a mask; and a listener never pads.

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


def steps_to_come(trainer: Trainer) -> int:
    """Optimizer steps of the whole run, by the Trainer's own arithmetic."""
    args = trainer.args
    batch_size = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
    loader = trainer.get_train_dataloader()
    return int(trainer.set_initial_training_values(args, loader, batch_size)[-1])


def keep_within(args: TrainingArguments, total_steps: int) -> list[str]:
    """Lower `save_steps` and `eval_steps` that exceed the run; return what was changed."""
    told = []
    save = args.save_strategy == SaveStrategy.STEPS and args.save_steps > total_steps
    evaluate = args.eval_strategy == IntervalStrategy.STEPS and args.eval_steps > total_steps
    if save:
        told.append(
            f"--save_steps {args.save_steps} exceeds the {total_steps} steps to come, so that no "
            f"checkpoint would be written: set to {total_steps}."
        )
        args.save_steps = total_steps
    if evaluate:
        told.append(
            f"--eval_steps {args.eval_steps} exceeds the {total_steps} steps to come: set to "
            f"{total_steps}."
        )
        args.eval_steps = total_steps
    return told
