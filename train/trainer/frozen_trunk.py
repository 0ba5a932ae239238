"""Freeze the lower part of a model, and compute its output once instead of in each epoch.

`freeze` divides a base model into a trunk, which is never trained and always in evaluation mode,
and the rest. The frozen base takes sound as before, or the trunk's output for it. Both run the same
code of transformers with only the already applied modules replaced, so training on stored outputs
gives the same model as training on sound. The modules below the encoder's layers always run in
float32, whatever autocast does to the layers, and the trunk never gets padding, which front ends
that normalise over time (`feat_extract_norm == "group"`) treat as sound.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset
from transformers import PreTrainedModel

from emo_listen.errors import CorpusError, ModelError
from train.backbones.kinds import BACKBONES, KNOWN_NAMES, norm_is_last
from train.trainer.clips import Clips, column, rows_by_length, with_soft_labels


class NoPositions(nn.Module):
    """Replaces a position embedding that was already added."""

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Return a zero that broadcasts over (n, n_frames, width)."""
        return hidden_states.new_zeros(())


class NoProjection(nn.Module):
    """Replaces a feature projection that was already applied."""

    def __init__(self, twice: bool) -> None:
        """Return the input, or a pair of it if `twice`."""
        super().__init__()
        self.twice = twice

    def forward(self, hidden_states: torch.Tensor) -> Any:
        """Return (n, n_frames, width) unchanged."""
        return (hidden_states, hidden_states) if self.twice else hidden_states


class StoredFeatures(nn.Module):
    """Replaces the waveform front end if its output is given."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Transpose (n, n_frames, width) to the front end's (n, width, n_frames)."""
        return features.transpose(1, 2)


class InFloat32(nn.Module):
    """Applies a module in float32, outside autocast."""

    def __init__(self, module: nn.Module) -> None:
        """Wrap `module`, whose parameters are float32."""
        super().__init__()
        self.module = module

    def forward(self, hidden_states: torch.Tensor) -> Any:
        """Return the module's output."""
        with torch.autocast(hidden_states.device.type, enabled=False):
            return self.module(hidden_states)


@contextmanager
def replaced(module: nn.Module, **children: nn.Module) -> Iterator[None]:
    """Replace children of `module` inside a `with` block."""
    before = {name: getattr(module, name) for name in children}
    for name, child in children.items():
        setattr(module, name, child)
    try:
        yield
    finally:
        for name, child in before.items():
            setattr(module, name, child)


class FrozenBase:
    """Mixed into a base model's class by `freeze`: a frozen trunk, then trained layers.

    Attributes:
        trained_layers: number of trained encoder layers, from the top; -1 for all of them and the
            feature projection, so that the trunk is only the waveform front end.
    """

    trained_layers: int

    def train(self, mode: bool = True) -> FrozenBase:
        """Set the mode of the trained part; the trunk stays in evaluation mode.

        With frozen encoder layers, this also disables SpecAugment and LayerDrop, which act between
        layers of the trunk.
        """
        super().train(mode and self.trained_layers < 0)  # type: ignore[misc]
        if mode:
            for module in trained_modules(self):
                module.train(True)
        return self

    @property
    def is_cut(self) -> bool:
        """Whether the trunk ends between two layers; else it is only the waveform front end."""
        base: Any = self
        return self.trained_layers >= 0 and cacheable(base.config, self.trained_layers)

    def trunk(
        self, input_values: torch.Tensor, attention_mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Output of the frozen part, (n, n_samples) -> (n, n_frames, width).

        It runs in float32, outside autocast, and without padding: clips of one length, according
        to `attention_mask` (n, n_samples), run together; shorter outputs are padded with zeros.
        """
        # transformers draws random numbers for LayerDrop even in evaluation mode. They must not
        # change the run's, so that training on sound and on stored outputs are the same.
        with (
            torch.no_grad(),
            torch.autocast(input_values.device.type, enabled=False),
            torch.random.fork_rng(devices=[]),
        ):
            if attention_mask is None:
                return self.trunk_of_equal_lengths(input_values)
            outputs = [
                (rows, self.trunk_of_equal_lengths(input_values[rows, :length]))
                for length, rows in rows_by_length(attention_mask.sum(dim=1))
            ]
            longest = max(hidden.shape[1] for _, hidden in outputs)
            first = outputs[0][1]
            padded = first.new_zeros(len(input_values), longest, first.shape[2])
            for rows, hidden in outputs:
                padded[rows, : hidden.shape[1]] = hidden
            return padded

    def trunk_of_equal_lengths(self, input_values: torch.Tensor) -> torch.Tensor:
        """Output of the frozen part for clips without padding."""
        base: Any = self
        if not self.is_cut:
            return base.feature_extractor(input_values).transpose(1, 2)
        layers = base.encoder.layers
        below: dict[str, nn.Module] = {"layers": layers[: len(layers) - self.trained_layers]}
        if self.trained_layers and norm_is_last(base.config):
            below["layer_norm"] = nn.Identity()  # the norm follows the last, trained layer
        with replaced(base.encoder, **below):
            return super().forward(input_values)[0]  # type: ignore[misc]

    def forward(
        self,
        input_values: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> Any:
        """Run the base model on sound (n, n_samples) or trunk outputs (n, n_frames, width).

        Autocast affects only the encoder's layers. `output_hidden_states` returns all hidden states
        if all layers are trained, else those from the first trained one.
        """
        base: Any = self
        stored = input_values.dim() == 3
        hidden = input_values.clone() if stored else self.trunk(input_values, attention_mask)
        outer: dict[str, nn.Module] = {"feature_extractor": StoredFeatures()}
        inner: dict[str, nn.Module] = {}
        if self.is_cut:
            layers = base.encoder.layers
            backbone = BACKBONES[base.config.model_type]
            outer["feature_projection"] = NoProjection(backbone.projects_to_pair)
            inner["pos_conv_embed"] = NoPositions()
            inner["dropout"] = nn.Identity()
            inner["layers"] = layers[len(layers) - self.trained_layers :]
            if not (self.trained_layers and norm_is_last(base.config)):
                inner["layer_norm"] = nn.Identity()  # it precedes the first layer, or is frozen
        else:
            outer["feature_projection"] = InFloat32(base.feature_projection)
            inner["pos_conv_embed"] = InFloat32(base.encoder.pos_conv_embed)
        with replaced(base, **outer), replaced(base.encoder, **inner):
            return super().forward(hidden, attention_mask, **kwargs)  # type: ignore[misc]


def cacheable(config: Any, trained_layers: int) -> bool:
    """Whether models of this config can be trained on stored outputs of the trunk.

    A head that sums all hidden states also needs those inside the trunk, if there are any.
    """
    return (
        config.model_type in BACKBONES
        and BACKBONES[config.model_type].cuttable
        and (not config.use_weighted_layer_sum or trained_layers in (-1, config.num_hidden_layers))
        and not getattr(config, "add_adapter", False)
    )


def trained_modules(base: Any) -> list[nn.Module]:
    """Return the encoder modules of a frozen base that are trained; none if all layers are."""
    n = base.trained_layers
    if n <= 0:
        return []
    modules = list(base.encoder.layers[-n:])
    return [*modules, base.encoder.layer_norm] if norm_is_last(base.config) else modules


def check_trained_layers(trained_layers: int, n_layers: int) -> None:
    """Refuse a `--trainable_layers` that is not -1 to `n_layers`, the base model's encoder layers.

    Raises:
        ModelError: naming the range.
    """
    if not -1 <= trained_layers <= n_layers:
        raise ModelError(
            f"--trainable_layers {trained_layers}: the base model has {n_layers} encoder layers, "
            f"so use -1 to {n_layers}."
        )


def freeze(model: PreTrainedModel, trained_layers: int) -> None:
    """Freeze a classifier's base except its top layers; the head is always trained.

    Args:
        model: an audio classifier with a waveform front end.
        trained_layers: 0 for only the head, N for also the top N encoder layers, -1 for everything
            except the waveform front end.

    Raises:
        ModelError: the model has no such layers, or fewer.
    """
    base: Any = model.base_model
    if not hasattr(base, "feature_extractor") or not hasattr(base, "encoder"):
        raise ModelError(
            f"The base model is of type {model.config.model_type!r}, which has no waveform front "
            f"end: give a {KNOWN_NAMES} or similar model."
        )
    check_trained_layers(trained_layers, len(base.encoder.layers))
    base.__class__ = type(f"Frozen{type(base).__name__}", (FrozenBase, type(base)), {})
    base.trained_layers = trained_layers
    frozen = base.feature_extractor if trained_layers < 0 else base
    frozen.requires_grad_(False)
    if trained_layers < 0:
        model.freeze_feature_encoder()
    for module in trained_modules(base):
        module.requires_grad_(True)
    base.train(model.training)


class TrunkOutputs(Dataset):
    """Clips as the frozen trunk's outputs, computed once and memory-mapped."""

    def __init__(self, stored: datasets.Dataset, clips: Clips, width: int) -> None:
        """Wrap the outputs that `store_trunk_outputs` wrote; `width` is the trunk's."""
        self.rows = stored.with_format("arrow")
        self.labels = clips.labels
        self.lengths = clips.whole_lengths
        self.soft_labels = clips.soft_labels
        self.width = width

    def lengths_in(self, epoch: int) -> np.ndarray:
        """Return the samples (n_clips,) of each clip, the same in all epochs."""
        return self.lengths

    def __len__(self) -> int:
        """Count the clips."""
        return len(self.labels)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return `input_values` float32 (n_frames, width), `length` (samples) and `labels`.

        Also `soft_labels` (n_classes,) if the clips have any.
        """
        hidden = column(self.rows[index], "hidden").reshape(-1, self.width)
        item = {
            "input_values": hidden.astype(np.float32),
            "length": int(self.lengths[index]),
            "labels": self.labels[index],
        }
        return with_soft_labels(item, self.soft_labels, index)


def store_trunk_outputs(
    model: PreTrainedModel, clips: Clips, cache_dir: Path, device: torch.device, name: str
) -> TrunkOutputs:
    """Run the trunk of a frozen model on clips once, or read its outputs from the cache.

    Each clip is run alone at its true length, in float32, and stored in float16.

    Args:
        model: after `freeze`.
        clips: whole clips, not random windows.
        cache_dir: folder of caches.
        device: where to run the trunk.
        name: of the split, for the progress bar.

    Raises:
        CorpusError: an output does not fit into float16.
    """
    base: Any = model.base_model
    key = trunk_key(base, clips)
    was_training, previous_device = model.training, model.device
    model.to(device).eval()
    width = base.trunk(torch.zeros(1, clips.extractor.sampling_rate, device=device)).shape[-1]

    def run_trunk(index: int) -> dict[str, np.ndarray]:
        values = torch.from_numpy(np.asarray(clips[index]["input_values"]))
        hidden = base.trunk(values[None].to(device))[0].cpu().numpy().astype(np.float16)
        if not np.isfinite(hidden).all():
            raise CorpusError(
                "The frozen layers' output does not fit into 16 bits: use --cache_trunk false."
            )
        return {"hidden": hidden.ravel()}

    rows = datasets.Dataset.from_dict({"row": range(len(clips))})
    stored = rows.map(
        run_trunk,
        input_columns="row",
        remove_columns=["row"],
        features=datasets.Features({"hidden": datasets.List(datasets.Value("float16"))}),
        cache_file_name=str(cache_dir / f"trunk-{key}.arrow"),
        load_from_cache_file=True,
        new_fingerprint=key,
        writer_batch_size=50,
        desc=f"Frozen layers, {name} clips",
    )
    model.to(previous_device).train(was_training)
    return TrunkOutputs(stored, clips, width)


def trunk_key(base: Any, clips: Clips) -> str:
    """Hash of the frozen weights, the config and the clips, 32 hex digits."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(base.config.to_json_string().encode())
    digest.update(json.dumps([base.trained_layers, clips.extractor.to_dict()]).encode())
    for name, parameter in base.state_dict(keep_vars=True).items():
        if not parameter.requires_grad:
            digest.update(name.encode())
            digest.update(parameter.detach().cpu().contiguous().numpy().tobytes())
    for sound in clips.digests:
        digest.update(sound.encode())
    return digest.hexdigest()
