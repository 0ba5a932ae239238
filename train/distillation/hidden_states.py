"""Hidden states of a student, and how far they are from its teacher's."""

from __future__ import annotations

import torch
from torch import nn
from transformers import HubertModel

from emo_listen.errors import ModelError


class Pupil(nn.Module):
    """The student, and a linear map for each hidden state if the teacher has another width.

    The maps are used in distillation only (as in DistilHuBERT, Chang et al. 2022).
    """

    def __init__(self, student: HubertModel, teacher_width: int) -> None:
        """Wrap a student of a teacher with `teacher_width` channels."""
        super().__init__()
        self.student = student
        width = student.config.hidden_size
        self.maps = nn.ModuleList(
            nn.Identity() if width == teacher_width else nn.Linear(width, teacher_width)
            for _ in range(student.config.num_hidden_layers + 1)
        )

    def forward(self, input_values: torch.Tensor, depth: int, bf16: bool) -> list[torch.Tensor]:
        """Hidden states 0 to `depth`, mapped to `(batch, frames, teacher_width)`."""
        states = hidden_states(self.student, input_values, depth, bf16)
        return [to_theirs(state) for to_theirs, state in zip(self.maps, states, strict=False)]


def hidden_states(
    student: HubertModel, input_values: torch.Tensor, depth: int, bf16: bool
) -> list[torch.Tensor]:
    """Hidden states 0 to `depth`, each `(batch, frames, width)`; the front end runs in float32."""
    encoder = student.encoder
    features = student.feature_extractor(input_values).transpose(1, 2)
    projected = student.feature_projection(features)
    state = projected + encoder.pos_conv_embed(projected)
    if not student.config.do_stable_layer_norm:
        state = encoder.layer_norm(state)
    states = [state]
    with torch.autocast(input_values.device.type, torch.bfloat16, enabled=bf16):
        for layer in encoder.layers[:depth]:
            states.append(layer(states[-1])[0])
    return states


def relative_errors(
    student: list[torch.Tensor], teacher: list[torch.Tensor], scales: list[torch.Tensor]
) -> torch.Tensor:
    """Squared error of each hidden state divided by the variance of its channels.

    1 is no better than the mean, 0 is perfect. All channels count equally: Whisper has a few very
    large ones.

    Args:
        student: hidden states, each `(batch, frames, width)`.
        teacher: the hidden states that they should equal.
        scales: standard deviation of the teacher's channels, each `(width,)`.
    """
    return torch.stack(
        [
            squared_error(mine.float() / scale, theirs.float() / scale)
            for mine, theirs, scale in zip(student, teacher, scales, strict=True)
        ]
    )


def squared_error(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """Mean squared error over common frames; front ends may differ by one frame at the end.

    Raises:
        ModelError: the student does not have 50 frames per second.
    """
    frames = min(student.shape[1], teacher.shape[1])
    if max(student.shape[1], teacher.shape[1]) - frames > 2:
        raise ModelError(
            f"The student has {student.shape[1]} frames where the teacher has {teacher.shape[1]}: "
            "the product of its strides must be 320."
        )
    return (student[:, :frames] - teacher[:, :frames]).square().mean()


def channel_scales(states: list[torch.Tensor]) -> list[torch.Tensor]:
    """Return the standard deviation of each channel, `(width,)`, of each hidden state."""
    return [state.flatten(0, 1).std(dim=0).clamp(min=1e-3) for state in states]
