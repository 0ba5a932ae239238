"""The loss of a classifier that is used relative to a voice's own ordinary speech.

The head is linear, so subtracting a baseline from the embedding subtracts a shift from the logits:
`weight @ (embedding - baseline) + bias` is `logits - shift`, where the shift is the difference
between the baseline's logits and the population's. Each clip is therefore classified twice: as it
is, and after subtracting the shift of the other ordinary clips of its voice.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

CHOSEN = 0.7
"""Probability that an ordinary clip of a voice is in the baseline of another clip of it."""

MISTAKEN = 0.08
"""Probability that an emotional one is: a listener's running estimate mistakes some for
ordinary."""

SHRINK = 0.5
"""Weight of the population's baseline against the voice's own, in clips. Own choice: a single clip
then counts for two thirds."""

OWN_WEIGHT = 0.5
"""Weight of the loss relative to the voice's own baseline; the rest is relative to the
population's."""

PLAIN_WEIGHT = 0.5
"""Weight of voices with only ordinary speech. See `PLAIN_FOCUS`."""

PLAIN_FOCUS = 2.0
"""Exponent of the focal loss of such voices (Lin et al. 2017, "Focal loss for dense object
detection"): clips already classified as neutral are not learnt further. Without it, and with twice
the share of such clips, a second epoch taught the model that everything recorded unlike the
emotional clips is neutral: 0.43 of EMO-DB's emotional clips were then classified as neutral, 0.17
after the first epoch."""

MEMORY = 0.98
"""Part of the population's mean logits of ordinary speech that a batch leaves unchanged."""


@dataclass
class Population:
    """Running mean of the logits of ordinary speech over the training voices."""

    mean: torch.Tensor | None = None
    """(n_classes,), None before the first batch."""

    def update(self, logits: torch.Tensor) -> torch.Tensor:
        """Add a batch's mean (n_classes,); return the population's."""
        logits = logits.detach()
        self.mean = logits if self.mean is None else torch.lerp(self.mean, logits, 1 - MEMORY)
        return self.mean


def relative_loss(
    logits: torch.Tensor,
    labels: torch.Tensor,
    targets: torch.Tensor,
    voices: torch.Tensor,
    neutral: int,
    population: Population,
    class_shares: torch.Tensor,
) -> torch.Tensor:
    """Mean cross-entropy of a batch of complete groups.

    Args:
        logits: (n, n_classes), float32.
        labels: (n,) classes.
        targets: (n, n_classes) probabilities to learn, with classes as frequent as in
            `class_shares`.
        voices: (n,) indices of the groups.
        neutral: class of ordinary speech.
        population: updated with the batch.
        class_shares: (n_classes,) share of each class in training; their logarithm is added to the
            logits, so that the model learns all classes as equally frequent (Menon et al. 2021,
            "Long-tail learning via logit adjustment").
    """
    ordinary = labels == neutral
    together = voices[:, None] == voices[None, :]
    plain = ~(together & ~ordinary[None, :]).any(dim=1)
    if (ordinary & ~plain).any():
        population.update(logits[ordinary & ~plain].mean(dim=0))
    adjust = class_shares.log()

    def losses(adjusted: torch.Tensor) -> torch.Tensor:
        each = torch.nn.functional.cross_entropy(adjusted + adjust, targets, reduction="none")
        wrong = 1 - adjusted.softmax(dim=1).gather(1, labels[:, None])[:, 0]
        return torch.where(plain, PLAIN_WEIGHT * wrong.detach() ** PLAIN_FOCUS, 1.0) * each

    total = losses(logits).sum() * (1 - OWN_WEIGHT) / len(labels)
    if population.mean is None:
        return total
    chance = torch.where(ordinary, CHOSEN, MISTAKEN)
    chosen = together & (torch.rand(len(labels), len(labels), device=logits.device) < chance)
    chosen &= ~torch.eye(len(labels), dtype=torch.bool, device=logits.device)
    count = chosen.sum(dim=1, keepdim=True)
    mean = chosen.to(logits.dtype) @ logits / count.clamp(min=1)
    shift = (mean - population.mean) * (count / (count + SHRINK))
    own = (count[:, 0] > 0).to(logits.dtype)
    return total + (losses(logits - shift) * own).sum() * OWN_WEIGHT / len(labels)
