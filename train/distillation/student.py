"""Build a compact `HubertModel`, initialised as close to its teacher as its shape allows.

From Whisper it takes everything. Whisper's encoder layers compute the same as HuBERT's with
`do_stable_layer_norm=True`, and are copied. Its spectrogram and convolutions are expressed as
HuBERT's front end (`mel_front_end.py`). Its sinusoidal positions become the positional convolution,
depthwise and causal: on a constant input, zero-padded on the left, a convolution returns the
running sum of its taps, which can be any function of the frame's number. Such a student needs no
distillation if it has the teacher's width and no more layers.

From HuBERT, wav2vec 2.0 or WavLM it takes each part with the same shape; `distill.py` trains the
rest.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import HubertConfig, HubertModel
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from emo_listen.errors import ModelError
from train.distillation.mel_front_end import check_front_end, init_front_end
from train.distillation.teacher import Teacher, WhisperTeacher

OFFSET = -30.0
"""Constant in each input of the positional convolution, large compared with Whisper's embeddings,
so that the positions depend little on them. The convolution's bias subtracts it again: since layers
start with LayerNorm, float32 is needed only up to there."""


def build_student(config: HubertConfig, teacher: Teacher, speech: torch.Tensor) -> HubertModel:
    """Make a student of `config`'s shape, initialised from `teacher`.

    Args:
        config: for Whisper, width, heads and feed-forward size must be the teacher's, depth at
            most the teacher's, and the front end that of `mel_front_end.py`.
        teacher: in evaluation mode.
        speech: float32 `(batch, n_samples)`, zero mean and unit variance, for fitting scales.

    Raises:
        ModelError: a shape does not fit the teacher.
    """
    if isinstance(teacher, WhisperTeacher):
        check_shape(config, teacher)
        student = HubertModel(config)
        init_front_end(student, teacher, speech)
        for mine, theirs in zip(student.encoder.layers, teacher.encoder.layers, strict=False):
            copy_whisper_layer(mine, theirs)
        init_final_norm(student, teacher.encoder)
        init_positions(student, teacher.encoder)
        return student
    student = HubertModel(config)
    copy_where_shapes_agree(student, teacher.model)
    return student


def paired_states(student_depth: int, teacher: Teacher) -> list[int]:
    """Index of the teacher's hidden state for each of the student's, from 0 to its depth.

    Whisper's first layers are enough for emotion; of other teachers, evenly spaced layers are
    used.
    """
    if isinstance(teacher, WhisperTeacher):
        return list(range(student_depth + 1))
    return [round(n * teacher.depth / max(student_depth, 1)) for n in range(student_depth + 1)]


def fixed_modules(student: HubertModel, teacher: Teacher) -> list[nn.Module]:
    """Modules that are exact from the start, which training could only make worse."""
    if isinstance(teacher, WhisperTeacher):
        return [
            student.feature_extractor,
            student.feature_projection,
            student.encoder.pos_conv_embed,
        ]
    return []


def check_shape(config: HubertConfig, teacher: WhisperTeacher) -> None:
    """Raise ModelError if the teacher's layers do not fit the student."""
    theirs = teacher.encoder.config
    pairs = {
        "hidden_size": (config.hidden_size, theirs.d_model),
        "num_attention_heads": (config.num_attention_heads, theirs.encoder_attention_heads),
        "intermediate_size": (config.intermediate_size, theirs.encoder_ffn_dim),
        "do_stable_layer_norm": (config.do_stable_layer_norm, True),
        "num_conv_pos_embedding_groups": (config.num_conv_pos_embedding_groups, theirs.d_model),
    }
    for name, (mine, wanted) in pairs.items():
        if mine != wanted:
            raise ModelError(
                f"In the student's config, {name} is {mine}; the teacher needs {wanted}."
            )
    if config.num_hidden_layers > teacher.depth:
        raise ModelError(
            f"The student's config has {config.num_hidden_layers} layers, the teacher only "
            f"{teacher.depth}: reduce num_hidden_layers."
        )
    check_front_end(config, theirs.num_mel_bins, theirs.d_model)


@torch.no_grad()
def copy_whisper_layer(mine: Any, theirs: Any) -> None:
    """Copy one of Whisper's encoder layers to one of HuBERT's."""
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
def init_final_norm(student: HubertModel, encoder: WhisperEncoder) -> None:
    """Initialise the last LayerNorm with the one that the teacher applies at this depth."""
    depth = len(student.encoder.layers)
    whole = depth == len(encoder.layers)
    norm = encoder.layer_norm if whole else encoder.layers[depth].self_attn_layer_norm
    student.encoder.layer_norm.load_state_dict(norm.state_dict())


@torch.no_grad()
def init_positions(student: HubertModel, encoder: WhisperEncoder) -> None:
    """Initialise the depthwise positional convolution with the teacher's position embeddings.

    With the constant input `OFFSET` (b), taps (P[m] - P[m-1]) / b at m frames back give P[t] at
    frame t, for as many frames as there are taps to the left; later frames get the last.
    """
    projection = student.feature_projection.projection
    projection.weight.copy_(torch.eye(projection.out_features))
    projection.bias.fill_(OFFSET)
    conv = student.encoder.pos_conv_embed.conv
    left = conv.kernel_size[0] // 2
    positions = encoder.embed_positions.weight[: left + 1]
    steps = torch.cat([positions[:1], positions.diff(dim=0)]) / OFFSET
    weight = torch.full(conv.weight.shape, 1e-9)  # weight norm has no direction for zeros
    weight[:, 0, : left + 1] += steps.flip(0).T
    conv.weight = weight
    conv.bias.fill_(-OFFSET)


def copy_where_shapes_agree(student: HubertModel, teacher: Any) -> None:
    """Copy front end, projection, positions and evenly spaced layers whose shapes agree."""
    pairs = [
        (student.feature_extractor, teacher.feature_extractor),
        (student.feature_projection, teacher.feature_projection),
        (student.encoder.pos_conv_embed, teacher.encoder.pos_conv_embed),
        (student.encoder.layer_norm, teacher.encoder.layer_norm),
    ]
    mine, theirs = student.encoder.layers, teacher.encoder.layers
    pairs += [
        (layer, theirs[round((n + 1) * len(theirs) / len(mine)) - 1])
        for n, layer in enumerate(mine)
    ]
    for target, source in pairs:
        given, wanted = source.state_dict(), target.state_dict()
        if all(name in given and given[name].shape == wanted[name].shape for name in wanted):
            target.load_state_dict({name: given[name] for name in wanted})
