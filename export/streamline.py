"""Rewrite a classifier's modules into equivalent ones that run faster in onnxruntime.

Results differ by rounding only: `to_onnx.py` compares the graph with the original checkpoint.
Measured on the bundled model's shape (AMD EPYC with AVX512-VNNI, one thread, 3 s of sound,
onnxruntime's profiler), time before and after, in ms:

| module                                   | becomes                          | before | after |
| ---------------------------------------- | -------------------------------- | -----: | ----: |
| depthwise convolution over 300 frames    | one of two dimensions, zeros cut |    7.4 |   0.3 |
| wide convolution (int8)                  | a matrix product                 |    2.4 |   0.6 |
| convolutions with block-diagonal weights | grouped ones                     |    0.9 |   0.1 |
| weighted layer sum, projection, mean     | the mean first                   |    0.6 |   0.3 |

In total: 57 ms to 48 in fp32, 29.7 to 19.7 in int8. In HuBERT-base's shape six of the seven front
end layers become products: int8 is then 1.4 times as fast, fp32 4 % slower.

Tried without benefit: one product for query, key and value is no faster than three. With
onnxruntime's `MultiHeadAttention` it is as fast at 3 s as MatMul, Softmax, MatMul (2.4 and 2.2 ms)
and 4 % faster at 10 s, but no other runtime could read the graph. Opsets 14, 17, 18 and 20 are
equally fast.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import (
    HubertForSequenceClassification,
    PreTrainedModel,
    Wav2Vec2ForSequenceClassification,
)
from transformers.modeling_outputs import SequenceClassifierOutput

WIDE = 256
"""Fewest input channels of a convolution that becomes a matrix product. Narrower layers compute the
logarithm of a compact student, which int8 would corrupt."""

NEGLIGIBLE = 1e-6
"""Outer taps of a depthwise convolution are cut if their share of its absolute weights is below."""


def streamline(model: PreTrainedModel) -> None:
    """Rewrite `model`, whose weight norm is folded, in place."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Conv1d) and (faster := faster_convolution(child)) is not None:
                setattr(parent, name, faster)
    if isinstance(model, HubertForSequenceClassification | Wav2Vec2ForSequenceClassification):
        kind = type(model)
        # Optimum infers the library of a model from its module.
        namespace = {"__module__": kind.__module__}
        model.__class__ = type(kind.__name__, (PooledFirst, kind), namespace)


def faster_convolution(conv: nn.Conv1d) -> nn.Module | None:
    """Return a faster equivalent of `conv`, or None."""
    if conv.dilation != (1,) or conv.padding_mode != "zeros" or isinstance(conv.padding, str):
        return None
    if 1 < conv.groups == conv.in_channels == conv.out_channels and conv.stride == (1,):
        return DepthwiseConvolution(conv)
    if conv.groups > 1 or conv.padding != (0,):
        return None
    if conv.in_channels >= WIDE and conv.kernel_size[0] > 1:
        return ProductConvolution(conv)
    return grouped_convolution(conv)


class DepthwiseConvolution(nn.Module):
    """A depthwise convolution over time, computed in two dimensions.

    For two dimensions onnxruntime has a kernel that computes many channels at once; for one, it
    multiplies a matrix of one row for each channel.
    """

    def __init__(self, conv: nn.Conv1d) -> None:
        """Copy the weights of `conv` except for negligible outer taps."""
        super().__init__()
        weight = conv.weight.detach()
        share = (weight.abs().sum(dim=(0, 1)) / weight.abs().sum()).double()
        first = int((share.cumsum(0) < NEGLIGIBLE).sum())
        cut = int((share.flip(0).cumsum(0) < NEGLIGIBLE).sum())
        padding = int(conv.padding[0])
        # Cut taps need less padding; negative padding drops frames.
        self.padding = (padding - first, padding - cut, 0, 0)
        taps = weight.shape[2] - first - cut
        self.conv = nn.Conv2d(
            conv.in_channels,
            conv.out_channels,
            (1, taps),
            groups=conv.groups,
            bias=conv.bias is not None,
        )
        self.conv.weight.data = weight[:, :, None, first : first + taps].contiguous()
        self.conv.bias = conv.bias

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Convolve `(batch, channels, n_frames)` over its frames."""
        convolved: torch.Tensor = self.conv(nn.functional.pad(hidden[:, :, None], self.padding))
        return convolved[:, :, 0]


class ProductConvolution(nn.Module):
    """A convolution computed as the product of its concatenated inputs with one matrix."""

    def __init__(self, conv: nn.Conv1d) -> None:
        """Copy the weights of `conv`, which has neither groups nor padding."""
        super().__init__()
        self.kernel, self.stride = conv.kernel_size[0], conv.stride[0]
        self.linear = nn.Linear(
            conv.in_channels * self.kernel, conv.out_channels, bias=conv.bias is not None
        )
        self.linear.weight.data = conv.weight.detach().permute(0, 2, 1).flatten(1).contiguous()
        if conv.bias is not None:
            self.linear.bias.data = conv.bias.detach()

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Convolve `(batch, in_channels, n_frames)` to `(batch, out_channels, fewer frames)`."""
        frames = hidden.transpose(1, 2)
        last = frames.shape[1] - self.kernel
        parts = [frames[:, tap : last + tap + 1 : self.stride] for tap in range(self.kernel)]
        product: torch.Tensor = self.linear(torch.cat(parts, dim=2))
        return product.transpose(1, 2)


def grouped_convolution(conv: nn.Conv1d) -> nn.Conv1d | None:
    """Return `conv` in as many groups as its zero weights allow; None if that is one."""
    used = conv.weight.detach().ne(0).any(dim=2)
    common = int(torch.gcd(torch.tensor(conv.in_channels), torch.tensor(conv.out_channels)))
    for groups in (count for count in range(common, 1, -1) if common % count == 0):
        blocks = used.reshape(*_block_shape(conv, groups)).any(dim=3).any(dim=1)
        if not (blocks & ~torch.eye(groups, dtype=torch.bool)).any():
            break
    else:
        return None
    grouped = nn.Conv1d(
        conv.in_channels,
        conv.out_channels,
        conv.kernel_size[0],
        stride=conv.stride[0],
        groups=groups,
        bias=conv.bias is not None,
    )
    weight = conv.weight.detach().reshape(*_block_shape(conv, groups), -1)
    group = torch.arange(groups)
    grouped.weight.data = weight[group, :, group].flatten(0, 1).contiguous()
    grouped.bias = conv.bias
    return grouped


def _block_shape(conv: nn.Conv1d, groups: int) -> tuple[int, int, int, int]:
    """Shape of the weights by group and channel, first of the output, then of the input."""
    return groups, conv.out_channels // groups, groups, conv.in_channels // groups


class PooledFirst:
    """Mixin for a classifier: averages each layer's output over time first, instead of at the end.

    Layer sum and projection are linear, so they commute with the mean.
    """

    config: Any
    base_model: Any
    layer_weights: torch.Tensor
    projector: nn.Module
    classifier: nn.Module

    def forward(self, input_values: torch.Tensor) -> SequenceClassifierOutput:
        """Logits of `input_values` `(batch, n_samples)` without padding."""
        outputs = self.base_model(input_values, output_hidden_states=True)
        if self.config.use_weighted_layer_sum:
            means = [state.mean(dim=1) for state in outputs.hidden_states]
            weights = nn.functional.softmax(self.layer_weights, dim=-1)
            pooled = (torch.stack(means, dim=1) * weights[:, None]).sum(dim=1)
        else:
            pooled = outputs.last_hidden_state.mean(dim=1)
        return SequenceClassifierOutput(logits=self.classifier(self.projector(pooled)))
