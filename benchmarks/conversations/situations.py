"""Disturbances that make speech detectors miss speech: from microphones, mains, machines, wind.

Each situation turns a stream of speech into what a microphone would record.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from benchmarks.common.timing import Samples

Situation = Callable[[Samples, int, np.random.Generator], NDArray[np.floating]]
"""Returns disturbed samples `(n,)`, given speech `(n,)`, its rate in Hz, and a generator."""

LEVEL = -33
"""Level of the speech in dBFS: a talker one metre from the microphone."""

LEVELS = (-40, -30, -20, -15)
"""Levels of steady disturbances in dBFS."""


def amplitude(level: float) -> float:
    """Root mean square of a level in dBFS."""
    return float(10 ** (level / 20))


def at_level(sound: NDArray[np.floating], level: float) -> NDArray[np.floating]:
    """Return `sound` without its offset, scaled to a level in dBFS."""
    sound = sound - sound.mean()
    return np.asarray(sound * amplitude(level) / np.sqrt(np.square(sound).mean()))


def band_noise(
    length: int, rate: int, low: float, high: float, generator: np.random.Generator
) -> NDArray[np.floating]:
    """Return noise between `low` and `high` Hz, with slopes of 12 dB per octave."""
    spectrum = np.fft.rfft(generator.standard_normal(length))
    frequencies = np.fft.rfftfreq(length, 1 / rate)
    falling = 1 / (1 + (frequencies / high) ** 4)
    rising = 1 / (1 + (low / np.maximum(frequencies, 1e-3)) ** 4)
    return np.fft.irfft(spectrum * np.sqrt(falling * rising), length)


def harmonics(
    length: int,
    rate: int,
    base: NDArray[np.floating] | float,
    amplitudes: Sequence[float],
    generator: np.random.Generator,
) -> NDArray[np.floating]:
    """Return a sum of sines at multiples of `base` in Hz, which may vary over time (n_samples,)."""
    phase = 2 * np.pi * np.cumsum(np.full(length, base) if np.isscalar(base) else base) / rate
    return np.asarray(
        sum(
            a * np.sin(k * phase + generator.uniform(0, 2 * np.pi))
            for k, a in enumerate(amplitudes, 1)
        )
    )


def clean(
    speech: Samples, _rate: int, _generator: np.random.Generator, *, gain: float = 0
) -> NDArray[np.floating]:
    """Amplify by `gain` dB."""
    return amplitude(gain) * speech


def offset(
    speech: Samples, _rate: int, _generator: np.random.Generator, *, value: float
) -> NDArray[np.floating]:
    """Add a DC offset of `value`."""
    return speech + value


def hum(
    speech: Samples, rate: int, generator: np.random.Generator, *, frequency: float, level: float
) -> NDArray[np.floating]:
    """Add mains hum, a sine."""
    return speech + at_level(harmonics(len(speech), rate, frequency, [1], generator), level)


def buzz(
    speech: Samples, rate: int, generator: np.random.Generator, *, level: float
) -> NDArray[np.floating]:
    """Add mains buzz with all harmonics up to 4 kHz, as from rectifiers and dimmers."""
    amplitudes = [1 / k for k in range(1, 81)]
    return speech + at_level(harmonics(len(speech), rate, 50.0, amplitudes, generator), level)


def fan(
    speech: Samples, rate: int, generator: np.random.Generator, *, level: float
) -> NDArray[np.floating]:
    """Add a fan: air noise below 500 Hz, and blade tones."""
    air = at_level(band_noise(len(speech), rate, 30, 500, generator), -3)
    blades = at_level(harmonics(len(speech), rate, 140.0, [1, 0.5, 0.25, 0.1], generator), -6)
    return speech + at_level(air + blades, level)


def engine(
    speech: Samples, rate: int, generator: np.random.Generator, *, level: float
) -> NDArray[np.floating]:
    """Add an engine: firing at a varying rate of about 30 Hz, and rumble."""
    times = np.arange(len(speech)) / rate
    firing = 30 + 4 * np.sin(2 * np.pi * times / 7) + np.sin(2 * np.pi * times / 1.3)
    tones = at_level(
        harmonics(len(speech), rate, firing, [1 / k for k in range(1, 21)], generator), -3
    )
    rumble = at_level(band_noise(len(speech), rate, 20, 200, generator), -3)
    return speech + at_level(tones + rumble, level)


def wind(
    speech: Samples, rate: int, generator: np.random.Generator, *, level: float
) -> NDArray[np.floating]:
    """Add wind below 200 Hz, in gusts of 0.1 s to seconds that differ by up to 20 dB."""
    gusts = at_level(band_noise(len(speech), rate, 0.1, 1.0, generator), 0)
    noise = at_level(band_noise(len(speech), rate, 10, 200, generator), level)
    return np.asarray(speech + noise * amplitude(1) ** (6 * np.clip(gusts, -2, 2)))


def hiss(
    speech: Samples, _rate: int, generator: np.random.Generator, *, level: float
) -> NDArray[np.floating]:
    """Add white noise."""
    return speech + at_level(generator.standard_normal(len(speech)), level)


def stopping(
    speech: Samples, rate: int, generator: np.random.Generator, *, level: float, high: float
) -> NDArray[np.floating]:
    """Prepend ten seconds of noise below `high` Hz and half a second of silence."""
    noise = at_level(band_noise(10 * rate, rate, 20, high, generator), level)
    return np.concatenate([noise, np.zeros(rate // 2), speech])


def gain_control(
    speech: Samples, rate: int, generator: np.random.Generator, *, most: float
) -> NDArray[np.floating]:
    """Control gain to -20 dBFS, at most `most` dB; it falls in 10 ms and rises by 20 dB/s."""
    length = rate // 100
    gain, factors = 0.0, []
    for start in range(0, len(speech), length):
        power = np.square(speech[start : start + length]).mean() + 1e-12
        gain = min(most, gain + 0.2, -20 - 10 * np.log10(power))
        factors.append(gain)
    places = np.arange(len(factors)) * length
    curve = np.interp(np.arange(len(speech)), places, factors)
    return np.asarray(speech * 10 ** (curve / 20))


def all_situations() -> dict[str, Situation]:
    """Return all situations by name."""
    named: dict[str, Situation] = {"clean": clean}
    for level in (-20, -27, -40, -45, -50, -55):
        named[f"speech at {level} dBFS"] = partial(clean, gain=level - LEVEL)
    for value in (0.01, 0.03, 0.1, 0.3):
        named[f"offset {value}"] = partial(offset, value=value)
    for frequency in (50, 60, 100, 120):
        for level in LEVELS:
            named[f"hum {frequency} Hz {level} dBFS"] = partial(
                hum, frequency=frequency, level=level
            )
    for name, steady in (
        ("buzz", buzz),
        ("fan", fan),
        ("engine", engine),
        ("wind", wind),
        ("hiss", hiss),
    ):
        for level in LEVELS:
            named[f"{name} {level} dBFS"] = partial(steady, level=level)
    for high in (300, 1000, 4000):
        named[f"noise below {high} Hz stops"] = partial(stopping, level=-12, high=high)
    for most in (20, 30, 40):
        named[f"gain control to {most} dB"] = partial(gain_control, most=most)
    return named
