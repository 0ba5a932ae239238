"""Averages of weights: of a run's last steps, and of several runs.

An exponential moving average over the last few hundred steps is nearer to the centre of the basin
that the weights move in, and generalises better than the weights of any step (Polyak and Juditsky
1992; Tarvainen and Valpola 2017, "Mean teachers are better role models"). Runs that start from the
same weights end in one basin, whose centre generalises better than any of them (Wortsman et al.
2022, "Model soups").
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import Trainer, TrainerCallback
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR
from transformers.utils import SAFE_WEIGHTS_NAME

from emo_listen.errors import ModelError

WEIGHTS_FILE = "weights_not_averaged.safetensors"


Weights = dict[str, torch.Tensor]
"""A model's state by name."""


def load_runs(folders: list[str]) -> dict[str, Weights]:
    """Load the weights of runs, by folder.

    Raises:
        ModelError: a folder has none.
    """
    try:
        return {folder: load_file(Path(folder) / SAFE_WEIGHTS_NAME) for folder in folders}
    except (OSError, SafetensorError) as error:
        raise ModelError(
            f"--average_with {' '.join(folders)}: give the --output_dir of finished runs. ({error})"
        ) from error


def check_runs(runs: dict[str, Weights], model: nn.Module) -> None:
    """Refuse runs whose weights have other names or shapes than those of `model`.

    Raises:
        ModelError: naming the folder.
    """
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    for folder, weights in runs.items():
        if {name: tensor.shape for name, tensor in weights.items()} != shapes:
            raise ModelError(
                f"--average_with {folder} is another model: give a run of the same recipe."
            )


@torch.no_grad()
def average_runs(model: nn.Module, runs: Iterable[Weights]) -> None:
    """Give `model` the mean of its own weights and those of other runs."""
    for name, tensor in model.state_dict().items():
        for count, weights in enumerate(runs, start=2):
            tensor.lerp_(weights[name].to(tensor), 1 / count)


class WeightAverage:
    """Exponential moving average of a model's trained parameters."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        """Start with the model's current weights; `decay` (0 to 1) is what a step keeps."""
        self.parameters = {n: p for n, p in model.named_parameters() if p.requires_grad}
        self.average = {n: p.detach().clone() for n, p in self.parameters.items()}
        self.decay = decay

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Add the weights after optimizer step `step`; early steps have a smaller decay."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(
            list(self.average.values()), [p.detach() for p in self.parameters.values()], 1 - decay
        )

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the model's weights and the average."""
        for name, parameter in self.parameters.items():
            weights = parameter.detach().clone()
            parameter.copy_(self.average[name])
            self.average[name].copy_(weights)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Give the model the average inside a `with` block."""
        self.swap()
        try:
            yield
        finally:
            self.swap()

    def save(self, folder: Path) -> None:
        """Write the weights that training continues from (not the average)."""
        weights = {n: p.detach().cpu().contiguous() for n, p in self.parameters.items()}
        save_file(weights, folder / WEIGHTS_FILE)

    @torch.no_grad()
    def load(self, folder: Path) -> None:
        """Give the model the weights that `save` wrote; the average is unchanged."""
        saved = load_file(folder / WEIGHTS_FILE)
        for name, parameter in self.parameters.items():
            parameter.copy_(saved[name])


class AveragingTrainer(Trainer):
    """Trainer that evaluates, saves and ends with averaged weights if `average_decay` > 0."""

    average_decay = 0.0
    average: WeightAverage | None = None

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if not self.average_decay:
            return
        self.average = WeightAverage(self.model, self.average_decay)
        if checkpoint is not None:
            self.average.load(Path(checkpoint))
        self.add_callback(AverageWeights(self))

    def evaluate(self, *args: Any, **kwargs: Any) -> dict[str, float]:
        """Evaluate the averaged weights during training, the model's weights afterwards."""
        if self.average is None:
            return super().evaluate(*args, **kwargs)
        with self.average.applied():
            return super().evaluate(*args, **kwargs)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        if self.average is None:
            super()._save_checkpoint(model, trial)
            return
        with self.average.applied():
            super()._save_checkpoint(model, trial)
        folder = Path(self._get_output_dir(trial))
        if self.args.should_save:
            self.average.save(folder / f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}")


class AverageWeights(TrainerCallback):
    """Updates a trainer's average after each step, and gives it to the model at the end."""

    def __init__(self, trainer: AveragingTrainer) -> None:
        """Update the average of `trainer`."""
        self.trainer = trainer

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Add the step's weights."""
        if self.trainer.average is not None:
            self.trainer.average.update(state.global_step)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Keep the average, unless the best checkpoint was loaded, which already has it."""
        average = self.trainer.average
        if average is not None and not args.load_best_model_at_end:
            average.swap()
        self.trainer.average = None
        self.trainer.remove_callback(self)
