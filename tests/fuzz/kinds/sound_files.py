"""Sound files: their headers and bodies, in every format that is written here."""

from __future__ import annotations

import io
import time
from pathlib import Path
from random import Random

import numpy as np
import soundfile

from emo_listen.audio import Resampler
from emo_listen.errors import EmoListenError
from emo_listen.sources.audio_file import AudioFile
from emo_listen.sources.base import Gap
from emo_listen.sources.valid_sound import ValidSound
from tests.fuzz.checks import RATE, SOUND
from tests.fuzz.mutations import mutated_bytes

SECONDS = 5.0
"""CPU time that an input may take."""

HEADER = 128
"""Bytes from the beginning on which most changes fall."""

FORMATS = (
    *(("WAV", "PCM_16"), ("WAV", "FLOAT"), ("WAV", "IMA_ADPCM"), ("WAV", "GSM610")),
    *(("WAVEX", "PCM_24"), ("RF64", "PCM_16"), ("W64", "PCM_16"), ("FLAC", "PCM_16")),
    *(("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III"), ("AIFF", "PCM_16")),
    *(("CAF", "PCM_16"), ("CAF", "ALAC_16"), ("AU", "PCM_16"), ("NIST", "PCM_16")),
    *(("VOC", "PCM_16"), ("PAF", "PCM_16"), ("MAT5", "PCM_16"), ("SDS", "PCM_16")),
)
"""Formats and encodings."""

FIELDS = [0, 1, 10, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 100_000_000]
"""Values that lengths, rates and channels get."""

whole: list[bytes] = []
"""The files before they are changed."""


def prepare(folder: Path) -> None:
    """Write a second of sound in each format."""
    for form, encoding in FORMATS:
        file = io.BytesIO()
        soundfile.write(file, SOUND, RATE, format=form, subtype=encoding)
        whole.append(file.getvalue())


def attempt(random: Random, folder: Path) -> str:
    """Change a file, and decode it up to where the model would hear it."""
    content = random.choice(whole)
    if random.random() < 0.5:
        content = mutated_bytes(content[:HEADER], random) + content[HEADER:]
    elif random.random() < 0.5:
        content = mutated_bytes(content, random)
    for _ in range(random.choice([0, 1, 1, 2])):
        at = random.randrange(HEADER)
        field = random.choice(FIELDS).to_bytes(4, random.choice(["little", "big"]))
        content = content[:at] + field + content[at + 4 :]
    path = folder / "sound"
    path.write_bytes(content)
    begun = time.process_time()
    try:
        source = AudioFile(path)
        resampler = Resampler(source.sampling_rate, RATE)
        frames = ValidSound(source.sampling_rate)
        for block in source:
            for item in frames.push(block):
                for samples in () if isinstance(item, Gap) else resampler.push(item[:, 0]):
                    assert np.isfinite(samples).all()
        outcome = "taken"
    except EmoListenError as error:
        assert str(error).isprintable()
        outcome = "refused"
    assert (seconds := time.process_time() - begun) < SECONDS, f"{seconds:.1f} s of CPU time"
    return outcome
