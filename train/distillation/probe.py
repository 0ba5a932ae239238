"""Linear probe: how well emotions can be classified from frozen hidden states.

Each hidden state is averaged over a clip's frames; a logistic regression on some training clips is
scored on the validation clips. The model is not trained.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tqdm import tqdm

from emo_listen.model import normalize
from train.corpus.audio_cache import to_float

TRAINING_CLIPS = 1500
"""Most training clips that a probe is fitted on."""

WEIGHT_DECAY = 0.1
"""L2 penalty of the regression on standardised features: of 1e-4, 1e-3, 3e-3, 1e-2 and 0.1 the
best for most hidden states of Whisper-base on CREMA-D's validation speakers (state 2: 0.593,
0.615, 0.641, 0.653, 0.693), and of the student initialised from it (0.582, 0.609, 0.624, 0.659,
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
        device: of the input of `hidden_states`.
        seed: of the draw.
    """
    drawn = np.random.default_rng(seed).permutation(len(training))[:TRAINING_CLIPS]
    rows = training.select(drawn)
    fitted = average_states(hidden_states, rows, device)
    scored = average_states(hidden_states, validation, device)
    return [
        round(regression(len(rows)).fit(x, rows["label"]).score(y, validation["label"]), 4)
        for x, y in zip(fitted, scored, strict=True)
    ]


def regression(n_clips: int) -> Any:
    """Logistic regression on standardised features, to be fitted on `n_clips` clips."""
    # sklearn sums the losses of clips, and halves the penalty.
    inverse_penalty = 1 / (2 * WEIGHT_DECAY * n_clips)
    return make_pipeline(StandardScaler(), LogisticRegression(C=inverse_penalty, max_iter=1000))


@torch.no_grad()
def average_states(
    hidden_states: HiddenStates, rows: Any, device: torch.device
) -> list[NDArray[np.float32]]:
    """Mean over frames of each hidden state of each clip, `(n_clips, width)` by state."""
    found = []
    for samples in tqdm(rows.with_format("numpy")["samples"], desc="Probe", leave=False):
        sound = normalize(to_float(np.asarray(samples)))
        states = hidden_states(torch.from_numpy(sound)[None].to(device))
        found.append(torch.stack([state[0].float().mean(dim=0).cpu() for state in states]))
    return list(torch.stack(found, dim=1).numpy())
