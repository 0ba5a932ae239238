"""Synthesise the bundled sample, `emo_listen/samples/demo.ogg`.

`make demo` needs a voice if no microphone works. This one is espeak-ng's, so that no person's
recording is distributed. Each sentence is spoken in the way that studies of vocal expression
describe for one emotion (Scherer 2003, "Vocal communication of emotion", Speech Communication 40:
anger and joy fast, loud and high with a wide range; sadness slow, soft, low and flat; fear fast
and high), so that the labels vary. It says nothing about the model's accuracy.

    apt install espeak-ng
    python runtime/make_sample.py
"""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from emo_listen.audio import load_audio
from emo_listen.samples import SAMPLE

SAMPLING_RATE = 16000


@dataclass(frozen=True)
class Sentence:
    """A text and how espeak-ng speaks it."""

    text: str
    voice: str
    """espeak-ng's voice."""

    pitch: int
    """0 to 99; espeak-ng's default is 50."""

    pitch_range: int
    """Percent of the voice's own range."""

    speed: int
    """Words per minute."""

    level: float
    """Peak of the sound, 0 to 1."""


SENTENCES = (
    Sentence("The meeting begins at ten, in the small room.", "en-us+klatt4", 20, 80, 220, 0.3),
    Sentence("No! I have told you three times! Get out!", "en-us+m7", 80, 200, 200, 0.95),
    Sentence("Oh, that is wonderful! I can not believe it!", "en-us+f3", 78, 130, 250, 0.7),
    Sentence("It is over. There is nothing left to say.", "en-us+f2", 20, 20, 100, 0.12),
    Sentence("Did you hear that? Somebody is in the house.", "en-us+whisper", 16, 60, 235, 0.25),
)


def speak(sentence: Sentence) -> NDArray[np.float32]:
    """Return one sentence as speech, float32 (n_samples,) at 16 kHz."""
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder) / "sentence.wav"
        command = ["espeak-ng", "-m", "-v", sentence.voice, "-p", str(sentence.pitch)]
        command += ["-s", str(sentence.speed), "-w", str(wav)]
        ssml = f'<prosody range="{sentence.pitch_range}%">{sentence.text}</prosody>'
        subprocess.run([*command, ssml], check=True)
        samples = load_audio(wav, SAMPLING_RATE)
    return samples * np.float32(sentence.level / np.abs(samples).max())


def main() -> None:
    """Write the sample."""
    pause = np.zeros(SAMPLING_RATE // 2, np.float32)
    samples = np.concatenate([part for s in SENTENCES for part in (speak(s), pause)])
    SAMPLE.parent.mkdir(exist_ok=True)
    soundfile.write(SAMPLE, samples, SAMPLING_RATE, format="OGG", subtype="VORBIS")
    print(f"{SAMPLE}: {len(samples) / SAMPLING_RATE:.1f} s, {SAMPLE.stat().st_size} bytes")


if __name__ == "__main__":
    main()
