"""Fold weight norm into plain weights, which become ONNX initializers.

HuBERT's positional convolution is weight-normed: its weight is `g * v / |v|`, computed at each
call. Exported as it is, the weight would be a sub-graph that quantizers cannot read: Optimum fails
with "Expected ... to be an initializer". The folded weight is the same product, computed once.
"""

from __future__ import annotations

from torch import nn
from torch.nn.utils import parametrize, remove_weight_norm


def fold_weight_norm(model: nn.Module) -> list[str]:
    """Replace each weight-normed weight in `model` by its value, in place.

    Handles parametrizations and the hooks of older PyTorch.

    Returns:
        Names of the modules that were folded.
    """
    folded = []
    for name, module in list(model.named_modules()):
        if parametrize.is_parametrized(module):
            for tensor_name in list(module.parametrizations):
                parametrize.remove_parametrizations(module, tensor_name)
            folded.append(name)
        elif hasattr(module, "weight_g") and hasattr(module, "weight_v"):
            remove_weight_norm(module)
            folded.append(name)
    return folded
