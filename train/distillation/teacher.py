"""Speech encoders as teachers: their hidden states have the frames of the student's.

A teacher is Whisper's encoder, or a model that takes waveforms (HuBERT, wav2vec 2.0, WavLM). All
have 50 frames per second.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from transformers import AutoModel, WhisperFeatureExtractor, WhisperModel
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from emo_listen.errors import ModelError
from train.backbones.kinds import BACKBONES, KNOWN_NAMES
from train.backbones.load import LOADING_ERRORS, SAFE, check_not_pickled, first_line, load_config

SPEECH_RMS = 0.07
"""RMS (full scale is 1) of speech for Whisper; `input_values` have RMS 1."""

WINDOW, HOP = 400, 160
"""Of Whisper's spectrogram, in samples at 16 kHz."""


class WhisperTeacher(nn.Module):
    """Whisper's first `depth` encoder layers, frozen.

    Whisper pads its spectrogram and both convolutions; a HuBERT front end has no padding. Here the
    teacher has none either, so that its frames cover the same samples as the student's.
    """

    mel_filters: torch.Tensor
    window: torch.Tensor

    def __init__(self, encoder: WhisperEncoder, depth: int | None = None) -> None:
        """Wrap an encoder; `depth` defaults to all layers."""
        super().__init__()
        self.encoder = encoder.eval().requires_grad_(False)
        self.depth = len(encoder.layers) if depth is None else depth
        self.width: int = encoder.config.d_model
        mel_filters = WhisperFeatureExtractor(encoder.config.num_mel_bins).mel_filters
        self.register_buffer("mel_filters", torch.from_numpy(mel_filters.T.astype(np.float32)))
        self.register_buffer("window", torch.hann_window(WINDOW))

    def log_mel(self, input_values: torch.Tensor) -> torch.Tensor:
        """Whisper's log-mel spectrogram `(batch, mels, frames)`, without padding."""
        spectrum = torch.stft(
            input_values.float() * SPEECH_RMS,
            n_fft=WINDOW,
            hop_length=HOP,
            window=self.window,
            center=False,
            return_complex=True,
        )
        mel = (self.mel_filters @ spectrum.abs().square()).clamp(min=1e-10).log10()
        return (torch.maximum(mel, mel.amax(dim=(1, 2), keepdim=True) - 8.0) + 4.0) / 4.0

    def forward(self, input_values: torch.Tensor, depth: int | None = None) -> list[torch.Tensor]:
        """Hidden states 0 to `depth`, each `(batch, frames, width)`.

        Args:
            input_values: `(batch, n_samples)` at 16 kHz, zero mean and unit variance.
            depth: layers to run; by default `self.depth`.
        """
        encoder = self.encoder
        with torch.autocast(input_values.device.type, enabled=False):
            hidden = self.log_mel(input_values)
            hidden = F.gelu(F.conv1d(hidden, encoder.conv1.weight, encoder.conv1.bias))
            hidden = F.gelu(F.conv1d(hidden, encoder.conv2.weight, encoder.conv2.bias, stride=2))
            hidden = hidden.transpose(1, 2)
            states = [hidden + encoder.embed_positions.weight[: hidden.shape[1]]]
        for layer in encoder.layers[: self.depth if depth is None else depth]:
            states.append(layer(states[-1], None, None)[0])
        return states


class WaveformTeacher(nn.Module):
    """A frozen HuBERT, wav2vec 2.0 or WavLM."""

    def __init__(self, model: Any) -> None:
        """Wrap a base model without a head."""
        super().__init__()
        self.model = model.eval().requires_grad_(False)
        self.depth: int = model.config.num_hidden_layers
        self.width: int = model.config.hidden_size

    def forward(self, input_values: torch.Tensor, depth: int | None = None) -> list[torch.Tensor]:
        """Hidden states 0 to `depth`, each `(batch, frames, width)`; see `WhisperTeacher`."""
        states = self.model(input_values, output_hidden_states=True).hidden_states
        return list(states[: (self.depth if depth is None else depth) + 1])


Teacher = WhisperTeacher | WaveformTeacher


def load_teacher(place: str) -> Teacher:
    """Load an encoder from a folder (whole model or encoder alone) or a hub id.

    Raises:
        ModelError: it is of another kind, or cannot be loaded.
    """
    config = load_config(place)
    check_not_pickled(place)
    try:
        if config.model_type in BACKBONES:
            return WaveformTeacher(AutoModel.from_pretrained(place, dtype=torch.float32, **SAFE))
        if config.model_type != "whisper":
            raise ModelError(
                f"{place} is a {config.model_type} model: a teacher must be Whisper or one of "
                f"{KNOWN_NAMES}."
            )
        safe = {"dtype": torch.float32, "use_safetensors": True}
        if "WhisperEncoder" in (config.architectures or []):
            return WhisperTeacher(WhisperEncoder.from_pretrained(place, **safe))
        return WhisperTeacher(WhisperModel.from_pretrained(place, **safe).encoder)
    except LOADING_ERRORS as error:
        raise ModelError(f"The teacher {place} cannot be loaded: {first_line(error)}") from error
