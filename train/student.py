"""Build a compact `HubertModel` that begins as close to Whisper's encoder as its shape allows.

Whisper's encoder layers are, term for term, HuBERT's with `do_stable_layer_norm=True`, so they
are copied. Three parts are HuBERT's own and begin as follows:

- the first convolution as the sines and cosines of Whisper's own spectrogram (25 ms Hann windows
  every 10 ms), each frequency in three phases 120 degrees apart, so that a sum of GELUs of the
  three depends on the magnitude alone; some channels are constant, so that the LayerNorm that
  follows still tells how loud a frame is;
- the positional convolution, depthwise and causal, as Whisper's sinusoids: over a constant input,
  zero-padded on the left, a convolution gives the running sum of its taps, which can be any
  function of the frame's number;
- the other convolutions at random: `distill.py` teaches them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from transformers import HubertConfig, HubertModel
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from emo_listen.errors import ModelError

OFFSET = -8.0
"""Constant in each input of the positional convolution, large beside Whisper's embeddings."""

LINEAR_SPACING = 40.0
"""Distance of the filters below `LINEAR_BELOW`, in Hz: that of a 400-point transform's bins."""

LINEAR_BELOW = 2000.0
"""Frequency above which filters are spaced evenly in log frequency, in Hz."""

HIGHEST = 7900.0
"""Frequency of the last filter, in Hz."""

CONSTANT_CHANNELS = 12
"""Channels of the first convolution that carry a constant (see the module's docstring)."""


def build_student(
    config: HubertConfig, teacher: WhisperEncoder, speech: torch.Tensor
) -> HubertModel:
    """Make a student of `config`'s shape, begun from `teacher`.

    Args:
        config: width, heads and feed-forward size must be the teacher's; depth at most its.
        teacher: Whisper's encoder.
        speech: float32 `(batch, n_samples)`, zero mean and unit variance, to scale filters by.

    Raises:
        ModelError: a shape differs from the teacher's.
    """
    refuse_other_shape(config, teacher)
    student = HubertModel(config)
    init_filter_bank(student, speech)
    for mine, theirs in zip(student.encoder.layers, teacher.layers, strict=False):
        copy_layer(mine, theirs)
    init_final_norm(student, teacher)
    init_positions(student, teacher)
    return student


def refuse_other_shape(config: HubertConfig, teacher: WhisperEncoder) -> None:
    """Raise ModelError where the student's layers cannot be the teacher's."""
    theirs = teacher.config
    pairs = {
        "hidden_size": (config.hidden_size, theirs.d_model),
        "num_attention_heads": (config.num_attention_heads, theirs.encoder_attention_heads),
        "intermediate_size": (config.intermediate_size, theirs.encoder_ffn_dim),
        "do_stable_layer_norm": (config.do_stable_layer_norm, True),
        "feat_extract_norm": (config.feat_extract_norm, "layer"),
        "num_conv_pos_embedding_groups": (config.num_conv_pos_embedding_groups, theirs.d_model),
    }
    for name, (mine, wanted) in pairs.items():
        if mine != wanted:
            raise ModelError(f"student config: {name} is {mine}, the teacher needs {wanted}")
    if config.num_hidden_layers > theirs.encoder_layers:
        raise ModelError(f"student config: more than the teacher's {theirs.encoder_layers} layers")


def filter_frequencies(count: int) -> np.ndarray:
    """Frequencies in Hz: even below `LINEAR_BELOW`, then even in log frequency, to `HIGHEST`."""
    low = np.arange(LINEAR_SPACING, LINEAR_BELOW + 1, LINEAR_SPACING)[:count]
    high = np.geomspace(LINEAR_BELOW, HIGHEST, count - len(low) + 1)[1:]
    return np.concatenate([low, high])


@torch.no_grad()
def init_filter_bank(student: HubertModel, speech: torch.Tensor) -> None:
    """Begin the first convolution as windowed sinusoids whose output on `speech` has rms 1."""
    conv = student.feature_extractor.conv_layers[0].conv
    channels, _, taps = conv.weight.shape
    frequencies = filter_frequencies((channels - CONSTANT_CHANNELS) // 3)
    time = (np.arange(taps) - taps / 2) / 16000
    phases = np.arange(3) * 2 * np.pi / 3
    angles = 2 * np.pi * frequencies[:, None, None] * time + phases[:, None]
    filters = torch.from_numpy((np.hanning(taps + 1)[:-1] * np.cos(angles)).reshape(-1, taps))
    conv.weight.zero_()
    conv.bias.zero_()
    used = len(filters)
    conv.weight[:used, 0] = filters.float()
    rms = conv(speech[:, None])[:, :used].pow(2).mean(dim=(0, 2)).sqrt()
    rms = rms.reshape(-1, 3).mean(1).repeat_interleave(3)
    conv.weight[:used, 0] /= rms[:, None]
    conv.bias[used:] = torch.logspace(-2, 1, channels - used)


@torch.no_grad()
def copy_layer(mine: Any, theirs: Any) -> None:
    """Copy one of Whisper's encoder layers into one of HuBERT's."""
    for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
        source, target = getattr(theirs.self_attn, name), getattr(mine.attention, name)
        target.weight.copy_(source.weight)
        if source.bias is None:
            target.bias.zero_()
        else:
            target.bias.copy_(source.bias)
    mine.layer_norm.load_state_dict(theirs.self_attn_layer_norm.state_dict())
    mine.final_layer_norm.load_state_dict(theirs.final_layer_norm.state_dict())
    mine.feed_forward.intermediate_dense.load_state_dict(theirs.fc1.state_dict())
    mine.feed_forward.output_dense.load_state_dict(theirs.fc2.state_dict())


@torch.no_grad()
def init_final_norm(student: HubertModel, teacher: WhisperEncoder) -> None:
    """Begin the last LayerNorm as that which the teacher applies at this depth."""
    depth = len(student.encoder.layers)
    whole = depth == len(teacher.layers)
    norm = teacher.layer_norm if whole else teacher.layers[depth].self_attn_layer_norm
    student.encoder.layer_norm.load_state_dict(norm.state_dict())


@torch.no_grad()
def init_positions(student: HubertModel, teacher: WhisperEncoder) -> None:
    """Begin the depthwise positional convolution as the teacher's position embeddings.

    With `OFFSET` (b) as its constant input, tap m frames back as (P[m] - P[m-1]) / b gives
    P[t] at frame t, for as many frames as there are taps to the left.
    """
    student.feature_projection.projection.bias.fill_(OFFSET)
    student.masked_spec_embed.fill_(OFFSET)
    conv = student.encoder.pos_conv_embed.conv
    left = conv.kernel_size[0] // 2
    positions = teacher.embed_positions.weight[: left + 1] - OFFSET
    steps = torch.cat([positions[:1], positions.diff(dim=0)]) / OFFSET
    weight = torch.randn(conv.weight.shape) * 1e-5
    weight[:, 0, : left + 1] = steps.flip(0).T
    conv.weight = weight
    conv.bias.zero_()


@torch.no_grad()
def steady_positions(student: HubertModel, factor: float = 100.0) -> None:
    """Make later training move the positional convolution more slowly, changing no output.

    Weight norm takes the direction of its second tensor alone, so that a longer one gives the same
    weights, and an optimizer's step of a given length turns it less.
    """
    student.encoder.pos_conv_embed.conv.parametrizations.weight.original1.mul_(factor)
