"""Augment training clips: voice, room, noise, microphone, line, and masked parts.

The chosen augmentations are applied in the order of `PROBABILITIES`: first those of the voice, then
the room, the noise in it, the microphone, the line, and last the masks. Loudness is not changed,
since each clip is normalised afterwards.

The result depends only on the run's seed, the epoch and the clip, so that a resumed run and any
number of processes and workers train on the same sound. A clip of 3 s with all augmentations takes
about 20 ms of one CPU core, most of it for `pitch`.
"""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import audiomentations
import numpy as np
import soundfile
import soxr
from scipy.signal import butter, fftconvolve, sosfilt

from emo_listen.decoding.suffixes import FOLDER_SUFFIXES
from emo_listen.errors import AudioFileError, CorpusError
from train.corpus.audio_cache import SILENT_BELOW, print_faults, read_sound, to_float, to_pcm

PROBABILITIES = {
    "speed": 0.5,
    "pitch": 0.3,
    "reverb": 0.3,
    "far_field": 0.15,
    "noise": 0.5,
    "babble": 0.2,
    "equalizer": 0.5,
    "high_pass": 0.2,
    "telephone": 0.2,
    "codec": 0.2,
    "frequency_mask": 0.3,
    "time_mask": 0.3,
}
"""Probability of each, in the order in which they are applied. Own choices: each common enough to
be learnt, half of the clips without noise, since most recordings are made near the microphone;
lines rarer than rooms, since a listening device has its own microphone."""

OF_THE_CLIP = ("frequency_mask", "time_mask")
"""Augmentations that differ between clips of one recording; the others are the recording's."""

SPEED = (0.9, 1.1)
"""Playing speed, pitch and tempo together (Ko et al. 2015, Audio augmentation for speech
recognition)."""

PITCH = (-2.0, 2.0)
"""Semitones at the same tempo. Own choice: within one talker's everyday range, since pitch is
itself a sign of emotion."""

REVERBERATION = (0.1, 0.6)
"""Seconds in which a room's sound falls by 60 dB: furnished rooms of homes and offices."""

DIRECT_TO_REVERBERANT = (0.0, 20.0)
"""Level of the direct sound over the room's, in dB: a talker far from, and near to, the microphone.
Own choice."""

FAR_REVERBERATION = (0.3, 0.9)
"""Seconds in which a far talker's room falls by 60 dB: living rooms, classrooms, halls."""

FAR_DIRECT_TO_REVERBERANT = (-9.0, 3.0)
"""Level of a far talker's direct sound over the room's, in dB: beyond the critical distance the
room is louder."""

BABBLE_SNR = (0.0, 20.0)
"""Level of the clip over other people's speech, in dB."""

BABBLE_VOICES = (1, 6)
"""Number of people who speak at once."""

HIGH_PASS = (80.0, 400.0)
"""Cutoff frequency of small microphones and lines, in Hz."""

HIGH_PASS_ORDER = 4
"""Order of that Butterworth filter: 24 dB per octave."""

NOISE_SNR = (5.0, 30.0)
"""Level of the clip over the noise, in dB: from loud to hardly audible noise (Kaldi's recipes of
Snyder et al. 2018, X-vectors, use 0 to 20 for speaker recognition, which needs less of the
voice)."""

EQUALIZER = (-6.0, 6.0)
"""Gain in each of seven bands, in dB: half of the library's range, where voices sound natural."""

TELEPHONE = (300.0, 3400.0)
"""Passband of a telephone line, in Hz (ITU-T G.712)."""

CODECS = ("ULAW", "ALAW", "GSM610")
"""libsndfile's names of telephone codecs at 8 kHz: ITU-T G.711 and GSM full rate."""

FREQUENCY_MASK = (200.0, 4000.0)
"""Centre of a blocked band in Hz, uniform in mel: the library's range."""

FREQUENCY_MASK_WIDTH = (0.2, 1.2)
"""Width of that band divided by its centre: at most about the third of the mel scale that
SpecAugment (Park et al. 2019) masks."""

TIME_MASK = (0.02, 0.2)
"""Fraction of the clip that is silenced: at most a fifth, as in SpecAugment's policies for
telephone speech."""

CODEC_RATE = 8000
Apply = Callable[[np.ndarray, np.random.Generator], np.ndarray]


class Augmentation:
    """Augments a clip, differently in each epoch."""

    def __init__(
        self,
        names: list[str],
        sampling_rate: int,
        seed: int,
        noise_dir: str | None = None,
        babble_dir: str | None = None,
    ) -> None:
        """Prepare the transforms `names`, of `PROBABILITIES`.

        Args:
            names: in any order.
            sampling_rate: of the clips, in Hz.
            seed: of the run.
            noise_dir: folder of recordings for `noise`, all read into memory; those that cannot be
                used are printed and left out.
            babble_dir: folder of recordings of ordinary speech for `babble`, likewise.

        Raises:
            CorpusError: a name is unknown, or `noise` or `babble` has no recordings that can be
                used.
        """
        unknown = sorted(set(names) - set(PROBABILITIES))
        if unknown:
            raise CorpusError(
                f"--augment {' '.join(unknown)} is unknown: use some of {' '.join(PROBABILITIES)}."
            )
        noise: list[np.ndarray] = []
        if "noise" in names:
            if noise_dir is None:
                raise CorpusError(
                    "--augment noise needs --noise_dir, a folder of recordings of noise."
                )
            noise = load_noise(Path(noise_dir), sampling_rate)
        babble: list[np.ndarray] = []
        if "babble" in names:
            if babble_dir is None:
                raise CorpusError(
                    "--augment babble needs --babble_dir, a folder of recordings of speech."
                )
            babble = load_noise(Path(babble_dir), sampling_rate, "--babble_dir")
        transforms = make_transforms(sampling_rate, noise, babble)
        self.chain = [
            (name, chance, transforms[name])
            for name, chance in PROBABILITIES.items()
            if name in names
        ]
        self.seed = seed
        self.longest = SPEED[1] if "speed" in names else 1.0
        """Length of a clip divided by that of the shortest that it may become."""

    def __call__(
        self, samples: np.ndarray, epoch: int, clip: int, recording: int | None = None
    ) -> np.ndarray:
        """Augment a clip.

        Args:
            samples: float32 (n_samples,).
            epoch: from 0.
            clip: its number in the split.
            recording: number of its recording: clips that share it get the same augmentations,
                except those of `OF_THE_CLIP`. None if each clip is a recording.

        Returns:
            float32 (n_augmented,), longer or shorter only with `speed`.
        """
        generator = np.random.default_rng([self.seed, epoch, clip])
        for number, (name, chance, apply) in enumerate(self.chain):
            if recording is not None and name not in OF_THE_CLIP:
                of_recording = np.random.default_rng([self.seed, epoch, recording, number, 1])
                if of_recording.random() < chance:
                    samples = apply(samples, of_recording)
            elif generator.random() < chance:
                samples = apply(samples, generator)
        return samples


def make_transforms(
    sampling_rate: int, noise: list[np.ndarray], babble: list[np.ndarray]
) -> dict[str, Apply]:
    """Make the transforms by name, for clips at `sampling_rate` Hz."""
    low, high = TELEPHONE
    middle, width = (low + high) / 2, 2 * (high - low) / (high + low)
    of_library: dict[str, audiomentations.core.transforms_interface.BaseWaveformTransform] = {
        "pitch": audiomentations.PitchShift(*PITCH, p=1.0),
        "equalizer": audiomentations.SevenBandParametricEQ(*EQUALIZER, p=1.0),
        "telephone": audiomentations.BandPassFilter(
            middle, middle, width, width, min_rolloff=24, max_rolloff=24, p=1.0
        ),
        "frequency_mask": audiomentations.BandStopFilter(
            *FREQUENCY_MASK, *FREQUENCY_MASK_WIDTH, p=1.0
        ),
        "time_mask": audiomentations.TimeMask(*TIME_MASK, p=1.0),
    }
    transforms: dict[str, Apply] = {
        name: partial(apply_library, transform=transform, sampling_rate=sampling_rate)
        for name, transform in of_library.items()
    }
    return transforms | {
        "speed": change_speed,
        "reverb": partial(reverberate, sampling_rate=sampling_rate),
        "far_field": partial(
            reverberate,
            sampling_rate=sampling_rate,
            reverberation=FAR_REVERBERATION,
            direct=FAR_DIRECT_TO_REVERBERANT,
        ),
        "noise": partial(add_noise, recordings=noise),
        "babble": partial(add_babble, recordings=babble),
        "high_pass": partial(high_pass, sampling_rate=sampling_rate),
        "codec": partial(encode, sampling_rate=sampling_rate),
    }


def apply_library(
    samples: np.ndarray,
    generator: np.random.Generator,
    transform: Callable[..., np.ndarray],
    sampling_rate: int,
) -> np.ndarray:
    """Apply a transform of audiomentations with random numbers of `generator`."""
    with global_random_numbers(int(generator.integers(2**32))):
        return transform(samples, sample_rate=sampling_rate)


@contextmanager
def global_random_numbers(seed: int) -> Iterator[None]:
    """Seed the global random numbers, which audiomentations uses, and restore them afterwards."""
    python, numpy = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


def change_speed(samples: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Change speed and pitch together."""
    return soxr.resample(samples, generator.uniform(*SPEED), 1.0)


def reverberate(
    samples: np.ndarray,
    generator: np.random.Generator,
    sampling_rate: int,
    reverberation: tuple[float, float] = REVERBERATION,
    direct: tuple[float, float] = DIRECT_TO_REVERBERANT,
) -> np.ndarray:
    """Add a room whose echoes are decaying noise; cut to the clip's length."""
    seconds = generator.uniform(*reverberation)
    time = np.arange(int(seconds * sampling_rate), dtype=np.float32) / sampling_rate
    echoes = generator.standard_normal(len(time), np.float32) * 10 ** (-3 * time / seconds)
    level = 10 ** (-generator.uniform(*direct) / 20)
    echoes *= level / np.sqrt(np.square(echoes).sum())
    echoes[0] = 1.0
    return fftconvolve(samples, echoes)[: len(samples)].astype(np.float32)


def add_noise(
    samples: np.ndarray, generator: np.random.Generator, recordings: list[np.ndarray]
) -> np.ndarray:
    """Add a random part of one of `recordings` (int16), repeated if it is shorter."""
    noise = part_of(recordings, len(samples), generator)
    return mixed(samples, noise, generator.uniform(*NOISE_SNR))


def add_babble(
    samples: np.ndarray, generator: np.random.Generator, recordings: list[np.ndarray]
) -> np.ndarray:
    """Add several voices at once, each a random part of one of `recordings` (int16)."""
    voices = generator.integers(*BABBLE_VOICES, endpoint=True)
    babble = sum(part_of(recordings, len(samples), generator) for _ in range(voices))
    return mixed(samples, np.asarray(babble), generator.uniform(*BABBLE_SNR))


def part_of(
    recordings: list[np.ndarray], length: int, generator: np.random.Generator
) -> np.ndarray:
    """Random part, float32 (length,), of one of `recordings` (int16), repeated if shorter."""
    recording = recordings[generator.integers(len(recordings))]
    start = generator.integers(max(len(recording) - length, 0) + 1)
    return np.resize(to_float(recording[start : start + length]), length)


def mixed(samples: np.ndarray, noise: np.ndarray, snr: float) -> np.ndarray:
    """Add `noise` `snr` dB below `samples`, both float32 (n_samples,); silence adds nothing."""
    level = np.sqrt(np.square(noise).mean())
    if level == 0:
        return samples
    return samples + noise * (10 ** (-snr / 20) * np.sqrt(np.square(samples).mean()) / level)


def high_pass(
    samples: np.ndarray, generator: np.random.Generator, sampling_rate: int
) -> np.ndarray:
    """Remove the lowest frequencies."""
    cutoff = generator.uniform(*HIGH_PASS)
    sections = butter(HIGH_PASS_ORDER, cutoff, "highpass", fs=sampling_rate, output="sos")
    return sosfilt(sections, samples).astype(np.float32)


def encode(samples: np.ndarray, generator: np.random.Generator, sampling_rate: int) -> np.ndarray:
    """Encode with a telephone codec at 8 kHz, and decode."""
    narrow = soxr.resample(samples, sampling_rate, CODEC_RATE)
    narrow *= 0.5 / max(np.abs(narrow).max(), SILENT_BELOW)
    file = io.BytesIO()
    codec = CODECS[generator.integers(len(CODECS))]
    soundfile.write(file, narrow, CODEC_RATE, format="WAV", subtype=codec)
    file.seek(0)
    decoded, _ = soundfile.read(file, dtype="float32")
    wide = soxr.resample(decoded, CODEC_RATE, sampling_rate)[: len(samples)]
    return np.pad(wide, (0, len(samples) - len(wide)))


def load_noise(folder: Path, sampling_rate: int, option: str = "--noise_dir") -> list[np.ndarray]:
    """Read all sound in `folder` and its sub-folders as int16 at `sampling_rate` Hz.

    Prints the files that cannot be used.

    Raises:
        CorpusError: there is no such folder, or no file in it can be used.
    """
    files = sorted(
        file
        for file in folder.expanduser().rglob("*")
        if file.suffix.casefold() in FOLDER_SUFFIXES and file.is_file()
    )
    if not files:
        raise CorpusError(f"{option} {folder} has no sound files: give a folder of recordings.")
    recordings, faults = [], {}
    for file in files:
        try:
            samples = read_sound({"bytes": None, "path": str(file)}, sampling_rate)
        except (OSError, AudioFileError) as error:
            faults[file.name] = f"unreadable ({error})"
            continue
        if not samples.size or np.abs(samples).max() < SILENT_BELOW:
            faults[file.name] = "silent"
            continue
        recordings.append(to_pcm(samples))
    print_faults(faults)
    if not recordings:
        raise CorpusError(
            f"{option} {folder}: none of its {len(files)} files can be used. Give another folder."
        )
    return recordings
