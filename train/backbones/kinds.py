"""What training and export know about each architecture that takes waveforms.

Any audio classifier of transformers that takes `input_values` and has a `feature_extractor` and
`encoder.layers` can be fine-tuned. One that is listed here can also be a teacher, and its frozen
layers can be computed once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Backbone:
    """An architecture of transformers."""

    name: str
    """What people call it."""

    cuttable: bool = True
    """Whether its encoder can be run in two parts, cut between two layers."""

    projects_to_pair: bool = False
    """Whether its feature projection returns two tensors, projected and normalised features."""


BACKBONES = {
    "hubert": Backbone("HuBERT"),
    "wav2vec2": Backbone("wav2vec 2.0", projects_to_pair=True),
    "wavlm": Backbone("WavLM", cuttable=False, projects_to_pair=True),  # layers share positions
}
"""By transformers' `model_type`."""

KNOWN_NAMES = ", ".join(backbone.name for backbone in BACKBONES.values())
"""For messages."""


def norm_is_last(config: Any) -> bool:
    """Whether the encoder's own LayerNorm follows its layers; else it precedes them."""
    return getattr(config, "do_stable_layer_norm", False)
