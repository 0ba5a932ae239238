"""Degrades speech as telephone lines, rooms, microphones and other talkers do; deterministic.

Uses only numpy, soxr and soundfile, and other methods than `train/trainer/augment.py` (image
sources for rooms, frequency responses for filters), so a model is not evaluated with the
augmentation it was trained on.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from benchmarks.common.timing import Samples
from train.evaluation.streams import ROOM

Degrade = Callable[[Samples, np.random.Generator], Samples]
"""Degrades mono samples `(n_samples,)`; the generator makes all random choices."""

TELEPHONE = (300.0, 3400.0)
"""Pass band of a telephone line in Hz (ITU-T G.712)."""

LINE_RATE = 8000
"""Sampling rate of a telephone line in Hz (ITU-T G.711)."""

ORDER = 5
"""Order of the Butterworth filters: 30 dB per octave."""

MP3_COMPRESSION = 0.84
"""libsndfile's compression level for 32 kbit/s at 16 kHz."""

TALKERS = 4
"""Number of simultaneous talkers in babble."""

SILENCE = 2.0
"""Seconds of a quiet room before and after a clip."""

SPEED_OF_SOUND = 343.0
"""Metres per second."""

DECAY_FACTOR = 1.6
"""Reverberation time of a room's responses, relative to Eyring's formula: sound between parallel
walls lasts longer. Measured in six rooms: 1.5 to 1.8."""


@dataclass(frozen=True)
class RoomShape:
    """Ranges that rooms are drawn from."""

    reverberation: tuple[float, float]
    """Reverberation time (RT60) in seconds by Eyring's formula; measured in the responses (T20), it
    is `DECAY_FACTOR` times as long."""

    distance: tuple[float, float]
    """Distance from talker to microphone, in metres."""

    sides: tuple[tuple[float, float], tuple[float, float], tuple[float, float]]
    """Length, width and height, in metres."""


LIVING_ROOM = RoomShape((0.15, 0.3), (0.5, 1.5), ((3.5, 6.0), (3.0, 4.5), (2.4, 2.8)))
"""A furnished room (0.25 to 0.5 s) with the microphone on the table. Own choice."""

FAR_FIELD = RoomShape((0.3, 0.55), (3.0, 5.0), ((6.0, 9.0), (5.0, 7.0), (2.5, 3.5)))
"""A large room (0.5 to 0.9 s) with the microphone at the far end. Own choice."""

BY_SPEAKER = ("room", "far field")
"""Degradations of `standard` that must be the same for all clips of a speaker."""


def standard(rate: int, noise: Sequence[Samples], speech: Sequence[Samples]) -> dict[str, Degrade]:
    """All degradations of the table, by name.

    Args:
        rate: sampling rate of all audio, in Hz.
        noise: recordings of everyday noise; if empty, there are no noise conditions.
        speech: ordinary speech for babble; if empty, there are no babble conditions.
    """
    degradations: dict[str, Degrade] = {
        "clean": lambda samples, _: samples,
        "telephone": lambda samples, _: telephone(samples, rate),
        "mu-law": lambda samples, _: mu_law(samples),
        "low-pass 3.4 kHz": low_pass(rate, 3400),
    }
    degradations |= {
        f"high-pass {cutoff} Hz": high_pass(rate, cutoff) for cutoff in (80, 150, 300, 400)
    }
    if speech:
        degradations |= {f"babble {snr} dB": babble(speech, snr) for snr in (10, 5)}
    if noise:
        degradations |= {f"noise {snr} dB": noises(noise, snr) for snr in (10, 5)}
    return degradations | {
        "room": in_room(LIVING_ROOM, rate),
        "far field": in_room(FAR_FIELD, rate),
        "2 s of silence around": lambda samples, random: with_silence(samples, rate, random),
        "30 dB softer": lambda samples, _: softer(samples, 30),
        "MP3, 32 kbit/s": lambda samples, _: mp3(samples, rate),
    }


def telephone(samples: Samples, rate: int) -> Samples:
    """Simulate a telephone line: band-pass, 8 kHz, mu-law."""
    low, high = TELEPHONE
    narrow = soxr.resample(
        _filter(samples, rate, lambda f: _high(f, low) * _low(f, high)), rate, LINE_RATE
    )
    return _fit(soxr.resample(mu_law(narrow), LINE_RATE, rate), len(samples))


def mu_law(samples: Samples) -> Samples:
    """Encode to 8 bits as in ITU-T G.711, at the samples' own rate, and decode."""
    compressed = np.sign(samples) * np.log1p(255 * np.minimum(np.abs(samples), 1)) / np.log(256)
    steps = np.rint(compressed * 127) / 127
    decoded = np.sign(steps) * (256 ** np.abs(steps) - 1) / 255
    return np.asarray(decoded, np.float32)


def high_pass(rate: int, cutoff: float) -> Degrade:
    """Attenuate frequencies below `cutoff` Hz."""
    return lambda samples, _: _filter(samples, rate, lambda f: _high(f, cutoff))


def low_pass(rate: int, cutoff: float) -> Degrade:
    """Attenuate frequencies above `cutoff` Hz."""
    return lambda samples, _: _filter(samples, rate, lambda f: _low(f, cutoff))


def noises(recordings: Sequence[Samples], snr: float) -> Degrade:
    """Add part of one of `recordings`, `snr` dB below the clip."""

    def degrade(samples: Samples, random: np.random.Generator) -> Samples:
        recording = recordings[int(random.integers(len(recordings)))]
        return add_at(samples, _part(recording, len(samples), random), snr)

    return degrade


def babble(speech: Sequence[Samples], snr: float) -> Degrade:
    """Add `TALKERS` simultaneous talkers, `snr` dB below the clip."""

    def degrade(samples: Samples, random: np.random.Generator) -> Samples:
        chosen = random.choice(len(speech), TALKERS, replace=len(speech) < TALKERS)
        voices = [_part(speech[i], len(samples), random) for i in chosen]
        return add_at(samples, np.sum([_at_unit(voice) for voice in voices], axis=0), snr)

    return degrade


def in_room(shape: RoomShape, rate: int, rooms: int = 5) -> Degrade:
    """Simulate one of `rooms` rooms of `shape`; the rooms are the same for all clips."""
    responses = [
        impulse_response(shape, rate, np.random.default_rng([0, number])) for number in range(rooms)
    ]

    def degrade(samples: Samples, random: np.random.Generator) -> Samples:
        response = responses[int(random.integers(rooms))]
        length = len(samples) + len(response) - 1
        spectrum = np.fft.rfft(samples, length) * np.fft.rfft(response, length)
        return np.fft.irfft(spectrum, length)[: len(samples)].astype(np.float32)

    return degrade


def impulse_response(shape: RoomShape, rate: int, random: np.random.Generator) -> Samples:
    """Compute the impulse response `(n,)` from talker to microphone, starting at the direct sound.

    Image sources of a room whose six walls absorb equally (Allen and Berkley 1979, "Image method
    for efficiently simulating small-room acoustics"); delays are rounded to samples.
    """
    sides = np.array([random.uniform(*side) for side in shape.sides])
    seconds = random.uniform(*shape.reverberation)
    microphone = np.array([0.5, 0.5, 0.45]) * sides + random.uniform(-0.2, 0.2, 3)
    while True:
        direction = random.standard_normal(3) * [1, 1, 0.2]
        direction *= random.uniform(*shape.distance) / np.linalg.norm(direction)
        talker = microphone + direction
        if (talker > 0.3).all() and (talker < sides - 0.3).all():
            break
    surface = 2 * (sides[0] * sides[1] + sides[1] * sides[2] + sides[0] * sides[2])
    # Eyring's formula, for the reflection coefficient of the pressure.
    reflected = np.exp(-0.161 * sides.prod() / (2 * surface * seconds))
    duration = DECAY_FACTOR * seconds
    reach = SPEED_OF_SOUND * duration
    counts = np.ceil(reach / (2 * sides)).astype(int)
    grid = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in counts), indexing="ij"), -1)
    grid = grid.reshape(-1, 3)
    response = np.zeros(round(duration * rate) + 1)
    direct = np.linalg.norm(direction)
    for mirror in np.ndindex(2, 2, 2):
        flipped = np.array(mirror)
        image = (1 - 2 * flipped) * talker + 2 * grid * sides - microphone
        distance = np.maximum(np.linalg.norm(image, axis=1), 0.1)
        bounces = np.abs(grid - flipped).sum(axis=1) + np.abs(grid).sum(axis=1)
        delay = np.rint((distance - direct) / SPEED_OF_SOUND * rate).astype(int)
        inside = (delay >= 0) & (delay < len(response))
        strength = reflected ** bounces[inside] * direct / distance[inside]
        np.add.at(response, delay[inside], strength)
    return response.astype(np.float32)


def with_silence(samples: Samples, rate: int, random: np.random.Generator) -> Samples:
    """Add `SILENCE` seconds of a quiet room before and after."""
    quiet = ROOM * random.standard_normal((2, round(SILENCE * rate)))
    return np.concatenate([quiet[0], samples, quiet[1]]).astype(np.float32)


def softer(samples: Samples, decibels: float) -> Samples:
    """Lower the level and round to 16 bits, as a sound card does."""
    softened = np.rint(samples * 10 ** (-decibels / 20) * 32768) / 32768
    return np.asarray(softened, np.float32)


def mp3(samples: Samples, rate: int) -> Samples:
    """Encode as MP3 at 32 kbit/s and decode."""
    file = io.BytesIO()
    soundfile.write(
        file,
        samples,
        rate,
        format="MP3",
        subtype="MPEG_LAYER_III",
        bitrate_mode="CONSTANT",
        compression_level=MP3_COMPRESSION,
    )
    file.seek(0)
    return _fit(soundfile.read(file, dtype="float32")[0], len(samples))


def add_at(samples: Samples, noise: NDArray[np.floating], snr: float) -> Samples:
    """Add `noise` of the same length, `snr` dB below the mean power of `samples`."""
    power = np.square(samples).mean()
    noisy = samples + _at_unit(noise) * np.sqrt(power / 10 ** (snr / 10))
    return np.asarray(noisy, np.float32)


def _at_unit(samples: NDArray[np.floating]) -> NDArray[np.floating]:
    return samples / max(float(np.sqrt(np.square(samples).mean())), 1e-9)


def _part(recording: Samples, length: int, random: np.random.Generator) -> Samples:
    """Return a random part of a recording, which is repeated if it is too short."""
    if len(recording) < length:
        return np.resize(recording, length)
    start = int(random.integers(len(recording) - length + 1))
    return recording[start : start + length]


def _fit(samples: Samples, length: int) -> Samples:
    return np.pad(samples[:length], (0, max(0, length - len(samples))))


def _filter(
    samples: Samples, rate: int, response: Callable[[NDArray[Any]], NDArray[np.float64]]
) -> Samples:
    """Apply a zero-phase frequency response, with silence around `samples`."""
    length = len(samples) + rate
    frequencies = np.fft.rfftfreq(length, 1 / rate).astype(np.float64)
    spectrum = np.fft.rfft(samples, length) * response(frequencies)
    return np.fft.irfft(spectrum, length)[: len(samples)].astype(np.float32)


def _high(frequencies: NDArray[np.float64], cutoff: float) -> NDArray[np.float64]:
    ratio = (frequencies / cutoff) ** ORDER
    return ratio / np.sqrt(1 + ratio**2)


def _low(frequencies: NDArray[np.float64], cutoff: float) -> NDArray[np.float64]:
    return 1 / np.sqrt(1 + (frequencies / cutoff) ** (2 * ORDER))
