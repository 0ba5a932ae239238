"""Whisper's encoder as a teacher: hidden states whose frames are aligned with the student's.

Whisper pads its spectrogram and both convolutions; a HuBERT front end pads nothing. Here the
teacher pads nothing either, so that its frames cover the very samples of a student with kernels
(400, 1, 3, 3) and strides (160, 1, 1, 2), and there are as many of them.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from transformers import AutoConfig, WhisperFeatureExtractor, WhisperModel
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from emo_listen.errors import ModelError

SPEECH_RMS = 0.07
"""RMS (full scale is 1) of speech as Whisper hears it; `input_values` have RMS 1."""

KERNELS, STRIDES = (400, 1, 3, 3), (160, 1, 1, 2)


class Teacher(nn.Module):
    """Whisper's first `depth` encoder layers, frozen."""

    mel_filters: torch.Tensor
    window: torch.Tensor

    def __init__(self, encoder: WhisperEncoder, depth: int) -> None:
        super().__init__()
        self.encoder = encoder.eval().requires_grad_(False)
        self.depth = depth
        mel_filters = WhisperFeatureExtractor(encoder.config.num_mel_bins).mel_filters
        self.register_buffer("mel_filters", torch.from_numpy(mel_filters.T.astype(np.float32)))
        self.register_buffer("window", torch.hann_window(KERNELS[0]))

    def log_mel(self, input_values: torch.Tensor) -> torch.Tensor:
        """Whisper's log-mel spectrogram `(batch, mels, frames)`, without padding."""
        spectrum = torch.stft(
            input_values.float() * SPEECH_RMS,
            n_fft=KERNELS[0],
            hop_length=STRIDES[0],
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
            depth: layers to run; all of `self.depth` by default.
        """
        encoder = self.encoder
        hidden = self.log_mel(input_values)
        hidden = F.gelu(F.conv1d(hidden, encoder.conv1.weight, encoder.conv1.bias))
        hidden = F.gelu(F.conv1d(hidden, encoder.conv2.weight, encoder.conv2.bias, stride=2))
        hidden = hidden.transpose(1, 2)
        states = [hidden + encoder.embed_positions.weight[: hidden.shape[1]]]
        for layer in encoder.layers[: self.depth if depth is None else depth]:
            states.append(layer(states[-1], None, None)[0])
        return states


def load_teacher(place: str, depth: int) -> Teacher:
    """Load Whisper's encoder from a local folder (whole model or encoder alone) or a hub id.

    Raises:
        ModelError: it is not a Whisper model, or cannot be loaded.
    """
    try:
        config = AutoConfig.from_pretrained(place)
        if config.model_type != "whisper":
            raise ModelError(f"{place} is a {config.model_type} model; the teacher must be Whisper")
        if "WhisperEncoder" in (config.architectures or []):
            encoder = WhisperEncoder.from_pretrained(place)
        else:
            encoder = WhisperModel.from_pretrained(place).encoder
    except OSError as error:
        raise ModelError(f"no teacher at {place}: {error}") from error
    return Teacher(encoder, depth)
