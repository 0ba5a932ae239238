"""Linear probe: how much of the emotion can be read off hidden states as they are.

Each hidden state is averaged over a clip's frames; a logistic regression on some training clips
is scored on the validation clips. The model itself is not trained.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F
from tqdm import tqdm

from emo_listen.model import normalize
from train.corpus.audio_cache import to_float

TRAINING_CLIPS = 1500
"""Most training clips that a probe is fitted on."""

WEIGHT_DECAY = 0.1
"""L2 penalty of the regression on standardised features: of 1e-4, 1e-3, 3e-3, 1e-2 and 0.1 the
best for most hidden states of Whisper-base on CREMA-D's validation speakers (state 2: 0.593,
0.615, 0.641, 0.653, 0.693), and of the student begun from it (0.582, 0.609, 0.624, 0.659,
0.675)."""

HiddenStates = Callable[[torch.Tensor], list[torch.Tensor]]


def probe_states(
    hidden_states: HiddenStates,
    training: Any,
    validation: Any,
    device: torch.device,
    seed: int = 0,
) -> list[float]:
    """Accuracy on the validation clips (0 to 1) of a probe of each hidden state.

    Args:
        hidden_states: `input_values` `(1, n_samples)` to states `(1, frames, width)`.
        training: rows with `samples` and `label`; at most `TRAINING_CLIPS` are drawn.
        validation: likewise, all used.
        device: where `hidden_states` takes its input.
        seed: of the draw.
    """
    drawn = np.random.default_rng(seed).permutation(len(training))[:TRAINING_CLIPS]
    rows = training.select(drawn)
    names = sorted(set(rows["label"]) | set(validation["label"]))
    given = averages(hidden_states, rows, device)
    heard = averages(hidden_states, validation, device)
    truth = torch.tensor([names.index(label) for label in validation["label"]])
    classes = torch.tensor([names.index(label) for label in rows["label"]])
    accuracies = []
    for features, others in zip(given, heard, strict=True):
        mean, scale = features.mean(dim=0), features.std(dim=0).clamp(min=1e-6)
        weight, bias = logistic_regression((features - mean) / scale, classes, len(names))
        found = ((others - mean) / scale @ weight + bias).argmax(dim=1)
        accuracies.append(round(float((found == truth).float().mean()), 4))
    return accuracies


@torch.no_grad()
def averages(hidden_states: HiddenStates, rows: Any, device: torch.device) -> list[torch.Tensor]:
    """Mean over frames of each hidden state of each clip, `(n_clips, width)` on the CPU."""
    found = []
    for samples in tqdm(rows.with_format("numpy")["samples"], desc="probe", leave=False):
        sound = normalize(to_float(np.asarray(samples)))
        states = hidden_states(torch.from_numpy(sound)[None].to(device))
        found.append(torch.stack([state[0].float().mean(dim=0).cpu() for state in states]))
    return list(torch.stack(found).unbind(dim=1))


def logistic_regression(
    features: torch.Tensor, classes: torch.Tensor, n_classes: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Fit weight `(width, n_classes)` and bias `(n_classes,)` by L-BFGS."""
    weight = torch.zeros(features.shape[1], n_classes, requires_grad=True)
    bias = torch.zeros(n_classes, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(features @ weight + bias, classes)
        value = value + WEIGHT_DECAY * weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return weight.detach(), bias.detach()
