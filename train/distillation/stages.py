"""Train a student to reproduce its teacher's hidden states, in stages that can be resumed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from tqdm import tqdm
from transformers import HubertModel, get_cosine_schedule_with_warmup

from emo_listen.model import normalize
from train.backbones.load import SAMPLING_RATE
from train.corpus.audio_cache import to_float
from train.distillation.hidden_states import Pupil, relative_errors
from train.distillation.student import paired_states
from train.distillation.teacher import Teacher

STATE_FILE = "training_state.pt"
LOG_FILE = "distill.jsonl"

FRONT_END, LAYERS = "front_end", "layers"
"""Names of the two stages: hidden state 0 alone, and all hidden states."""

WARMUP_STEPS = 50
"""Steps of linear warm-up, at most a quarter of a stage."""

MAX_GRADIENT_NORM = 1.0


@dataclass(frozen=True)
class Stage:
    """What is trained, and for how long."""

    name: str
    """`FRONT_END` or `LAYERS`."""

    steps: int
    """Optimizer steps."""

    learning_rate: float
    """Peak learning rate of AdamW."""

    first_crop: int
    """Number of the crops of its first step."""

    bf16: bool
    """Whether the teacher and the student's layers run in bfloat16."""

    log_steps: int
    """Steps between lines of the log."""

    save_steps: int
    """Steps between saved states."""


class Crops:
    """Random crops of the training clips, chosen by step number so that runs can resume."""

    def __init__(self, clips: list[np.ndarray], crop: float, batch_size: int, seed: int) -> None:
        """Take int16 clips at `SAMPLING_RATE`; crops have `crop` seconds."""
        self.length = round(crop * SAMPLING_RATE)
        self.batch_size = batch_size
        self.seed = seed
        self.stream = np.concatenate(clips)

    def __call__(self, step: int) -> torch.Tensor:
        """`input_values` `(batch_size, n_samples)` of a step, with zero mean and unit variance."""
        rng = np.random.default_rng([self.seed, step])
        starts = rng.integers(0, len(self.stream) - self.length, self.batch_size)
        crops = [normalize(to_float(self.stream[s : s + self.length])) for s in starts]
        return torch.from_numpy(np.stack(crops))


def train_stage(
    stage: Stage,
    pupil: Pupil,
    teacher: Teacher,
    crops: Crops,
    scales: list[torch.Tensor],
    folder: Path,
    after_step: Callable[[HubertModel, int], None],
) -> None:
    """Train one stage, or the rest of it if `folder` has its saved state.

    Args:
        stage: what to train.
        pupil: the student and its maps.
        teacher: gives the hidden states to learn.
        crops: sound, by step.
        scales: of the teacher's hidden states, from `channel_scales`.
        folder: for the log and the saved state.
        after_step: called with the student and the number of steps taken.
    """
    student = pupil.student
    front_end = stage.name == FRONT_END
    pairs = paired_states(0 if front_end else student.config.num_hidden_layers, teacher)
    depth = len(pairs) - 1
    trained: list[nn.Parameter] = [
        parameter
        for name, parameter in pupil.named_parameters()
        if parameter.requires_grad and not (front_end and ".layers." in name)
    ]
    if not stage.steps or not trained:
        return
    optimizer = torch.optim.AdamW(
        trained, lr=stage.learning_rate, betas=(0.9, 0.98), weight_decay=0.0
    )
    warmup = min(WARMUP_STEPS, stage.steps // 4)
    schedule = get_cosine_schedule_with_warmup(optimizer, warmup, stage.steps)
    parts: dict[str, Any] = {"pupil": pupil, "optimizer": optimizer, "schedule": schedule}
    state_path = folder / f"{stage.name}-{STATE_FILE}"
    first = load_state(state_path, parts, student.device)
    progress = tqdm(
        range(first, stage.steps), stage.name, total=stage.steps, initial=first, unit="step"
    )
    running: list[np.ndarray] = []
    device_type = student.device.type
    for step in progress:
        input_values = crops(stage.first_crop + step).to(student.device)
        with torch.no_grad(), torch.autocast(device_type, torch.bfloat16, enabled=stage.bf16):
            states = teacher(input_values, pairs[-1])
        targets = [states[n] for n in pairs]
        learnt = pupil(input_values, depth, stage.bf16)
        errors = relative_errors(learnt, targets, scales[: depth + 1])
        optimizer.zero_grad(set_to_none=True)
        errors.mean().backward()
        nn.utils.clip_grad_norm_(trained, MAX_GRADIENT_NORM)
        optimizer.step()
        schedule.step()
        running.append(errors.detach().cpu().numpy())
        done = step + 1
        if done % stage.log_steps == 0 or done == stage.steps:
            mean = np.mean(running, axis=0)
            running.clear()
            progress.set_postfix_str(" ".join(f"{error:.3f}" for error in mean))
            rounded = [round(float(error), 5) for error in mean]
            append_row(folder / LOG_FILE, {"stage": stage.name, "step": done, "errors": rounded})
        if done % stage.save_steps == 0 or done == stage.steps:
            save_state(state_path, parts, done)
        after_step(student, done)


def save_state(path: Path, parts: dict[str, Any], step: int) -> None:
    """Save the states of `parts` after `step` steps, replacing the file at once."""
    temporary = path.with_suffix(".tmp")
    torch.save(
        {name: part.state_dict() for name, part in parts.items()} | {"step": step}, temporary
    )
    temporary.replace(path)


def load_state(path: Path, parts: dict[str, Any], device: torch.device) -> int:
    """Restore the states of `parts` if `path` exists; return the number of steps taken."""
    if not path.is_file():
        return 0
    state = torch.load(path, weights_only=True, map_location=device)
    for name, part in parts.items():
        part.load_state_dict(state[name])
    return state["step"]


def append_row(path: Path, row: dict[str, Any]) -> None:
    """Add a row to a JSON Lines file."""
    with path.open("a", encoding="utf-8") as log:
        log.write(json.dumps(row) + "\n")
