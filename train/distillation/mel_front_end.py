"""Whisper's front end as HuBERT's: a log-mel spectrogram made of convolutions and GELUs.

A `HubertModel` with `feat_extract_norm="group"`, biases, and no LayerNorm before its projection
has only convolutions and GELUs in its front end. Seven of them compute what Whisper computes,
without any training:

| layer | kernel, stride | channels | computes                                                  |
| ----- | -------------- | -------- | --------------------------------------------------------- |
| 0     | 1, 1           | 1        | the waveform at a constant level, by GroupNorm            |
| 1     | 400, 160       | 3 x 201  | each frequency of the spectrogram in three phases          |
| 2     | 1, 1           | 80       | mel bands                                                  |
| 3     | 1, 1           | 80 x n   | each band against n thresholds in geometric steps          |
| 4     | 1, 1           | 80       | its logarithm, a sum of ramps                              |
| 5, 6  | 3, 1 and 3, 2  | width    | Whisper's two convolutions, copied                         |

GELU is nearly `max(x, 0)` for the magnitudes in layer 1, and the positive parts of three sinusoids
120 degrees apart add up to their magnitude within 7 % (0.6 dB) at any phase. Far above zero GELU is
the identity: layers 0, 2 and 4 add `SHIFT`, which the next one subtracts. The remaining errors are
a few percent of a decibel: the squared error of the log-mel spectrogram is 0.5 % of its variance on
CREMA-D, that of Whisper's first hidden state 1 %.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import HubertConfig, HubertModel

from emo_listen.errors import ModelError
from train.distillation.teacher import HOP, WINDOW, WhisperTeacher

KERNELS, STRIDES = [1, WINDOW, 1, 1, 1, 3, 3], [1, HOP, 1, 1, 1, 1, 2]

SHIFT = 6.0
"""Added where GELU must be the identity: GELU(x) is x within 1e-8 here."""

LEVEL = 0.5
"""Standard deviation of the waveform around `SHIFT`: eight of them pass within 0.1. With a lower
one, the rounding errors of `SHIFT` would disturb quiet frequencies."""

GAIN = 120.0
"""Magnitude in layer 1 divided by that of the spectrogram of sound with variance 1: speech from its
loudest to 90 dB below is then between 3 and 100,000, where GELU is nearly `max(x, 0)`."""

LOWEST, HIGHEST = 0.7, 35000.0
"""Range of a mel band (mean magnitude of its frequencies) in which the logarithm is fitted."""

SHARPNESS = 2.0
"""Slope of a unit of layer 3 at its threshold, times that threshold: the higher, the sharper the
bends of the logarithm."""


def check_front_end(config: HubertConfig, n_mels: int, width: int) -> None:
    """Raise ModelError if `config`'s front end is not that of this module."""
    bands = list(config.conv_dim)[2] if len(config.conv_dim) == 7 else 0
    units = list(config.conv_dim)[3] // bands if bands else 0
    wanted = {
        "feat_extract_norm": "group",
        "feat_extract_activation": "gelu",
        "feat_proj_layer_norm": False,
        "conv_bias": True,
        "conv_kernel": KERNELS,
        "conv_stride": STRIDES,
        "conv_dim": [1, 3 * (WINDOW // 2 + 1), n_mels, n_mels * max(units, 2), n_mels]
        + [width] * 2,
        "hidden_size": width,
    }
    for name, value in wanted.items():
        mine = getattr(config, name)
        mine = list(mine) if isinstance(mine, tuple) else mine
        if mine != value:
            raise ModelError(
                f"In the student's config, {name} is {mine}; the teacher needs {value}."
            )


@torch.no_grad()
def init_front_end(student: HubertModel, teacher: WhisperTeacher, speech: torch.Tensor) -> None:
    """Initialise a student's front end with the teacher's.

    Args:
        student: of the shape that `check_front_end` accepts.
        teacher: Whisper's encoder.
        speech: float32 `(batch, n_samples)`, zero mean and unit variance, for fitting each
            band's logarithm.
    """
    layers = student.feature_extractor.conv_layers
    convs = [layer.conv for layer in layers]
    for conv in convs:
        conv.weight.zero_()
        conv.bias.zero_()
    convs[0].weight.fill_(1.0)
    layers[0].layer_norm.weight.fill_(LEVEL)
    layers[0].layer_norm.bias.fill_(SHIFT)
    init_spectrogram(convs[1], teacher.window)
    init_mel_bands(convs[2], teacher.mel_filters)
    init_logarithm(convs[3], convs[4])
    fit_bands(student, teacher, speech)
    encoder = teacher.encoder
    for mine, theirs in zip(convs[5:], (encoder.conv1, encoder.conv2), strict=True):
        mine.load_state_dict(theirs.state_dict())
    convs[5].bias.sub_(SHIFT * convs[5].weight.sum(dim=(1, 2)))


def init_spectrogram(conv: Any, window: torch.Tensor) -> None:
    """Set windowed cosines of each frequency in three phases, which cancel `SHIFT`."""
    taps = np.arange(WINDOW) / WINDOW
    phases = np.arange(3) / 3
    frequencies = np.arange(WINDOW // 2 + 1)
    angles = 2 * np.pi * (frequencies[:, None, None] * taps + phases[:, None])
    filters = window.double().numpy() * np.cos(angles) * GAIN / LEVEL
    weight = torch.from_numpy(filters.reshape(-1, 1, WINDOW)).float()
    conv.weight.copy_(weight)
    conv.bias.copy_(-SHIFT * weight.double().sum(dim=(1, 2)))


def init_mel_bands(conv: Any, mel_filters: torch.Tensor) -> None:
    """Set weighted means of magnitudes; weights are the square roots of the mel filters."""
    weights = mel_filters.double().sqrt()
    weights /= weights.sum(dim=1, keepdim=True)
    conv.weight.copy_(weights.repeat_interleave(3, dim=1)[:, :, None])
    conv.bias.fill_(SHIFT)


def init_logarithm(bends: Any, slopes: Any) -> None:
    """Set units and their weights so that each band's sum of ramps is its `log10`.

    The ramps fall to 0 at their threshold and stay there, so that no large numbers cancel. Their
    weights are the least-squares solution on an even grid of logarithms.
    """
    n_bands, n_units = slopes.out_channels, bends.out_channels // slopes.out_channels
    thresholds = torch.from_numpy(np.geomspace(LOWEST, HIGHEST, n_units + 1)[1:])
    grid = torch.from_numpy(np.geomspace(0.3 * LOWEST, HIGHEST, 4000))
    units = nn.functional.gelu(SHARPNESS * (1 - grid[:, None] / thresholds))
    units = torch.cat([torch.ones(len(grid), 1), units], dim=1)
    scale = units.square().mean(dim=0).sqrt()
    solution = np.linalg.lstsq((units / scale).numpy(), grid.log10().numpy(), rcond=1e-7)[0]
    weights = torch.from_numpy(solution) / scale
    for band in range(n_bands):
        mine = slice(band * n_units, (band + 1) * n_units)
        bends.weight[mine, band, 0] = (-SHARPNESS / thresholds).float()
        bends.bias[mine] = (SHARPNESS + SHIFT * SHARPNESS / thresholds).float()
        slopes.weight[band, mine, 0] = weights[1:].float()
    slopes.bias.fill_(float(weights[0]))


def fit_bands(student: HubertModel, teacher: WhisperTeacher, speech: torch.Tensor) -> None:
    """Scale and shift each band's logarithm to match the teacher's spectrogram of `speech`."""
    wanted = teacher.log_mel(speech).transpose(0, 1).flatten(1).double()
    layers = student.feature_extractor.conv_layers
    hidden = speech[:, None]
    for layer in layers[:4]:
        hidden = layer(hidden)
    slopes = layers[4].conv
    found = slopes(hidden).transpose(0, 1).flatten(1).double()
    mean, wanted_mean = found.mean(1), wanted.mean(1)
    covariance = ((found - mean[:, None]) * (wanted - wanted_mean[:, None])).mean(1)
    scale = (covariance / found.var(1, unbiased=False).clamp(min=1e-9)).float()
    slopes.weight.mul_(scale[:, None, None])
    slopes.bias.mul_(scale).add_(wanted_mean.float() - scale * mean.float() + SHIFT)
