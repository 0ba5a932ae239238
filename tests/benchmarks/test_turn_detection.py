"""No turn is lost under disturbances that make speech detectors miss speech."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.conversations.situations import amplitude
from benchmarks.conversations.turn_detection import (
    NetworkAlone,
    at_speech_level,
    detected_turns,
    score_situations,
)
from emo_listen.audio import load_audio
from emo_listen.vad import SpeechDetector
from train.corpus.recordings import Clip
from train.evaluation.streams import join_turns

RATE = 16000


def spoken(sample_file: Path) -> list[Clip]:
    """Four sentences of the synthetic voice, a quarter of a second of silence around each."""
    speech = load_audio(sample_file, RATE)
    places = [change.at for change in SpeechDetector().push(speech)]
    sentences = [
        (start, end)
        for start, end in zip(places[::2], places[1::2], strict=True)
        if end - start > RATE
    ]
    around = RATE // 4
    return [
        Clip(f"{n}", "neutral", speech[max(0, start - around) : end + around], f"{n % 2}")
        for n, (start, end) in enumerate(sentences[:4])
    ]


@pytest.mark.parametrize(
    "situation",
    [
        "clean",
        "speech at -55 dBFS",
        "offset 0.3",
        "hum 60 Hz -15 dBFS",
        "hum 100 Hz -20 dBFS",
        "buzz -30 dBFS",
        "wind -30 dBFS",
        "noise below 300 Hz stops",
        "gain control to 30 dB",
    ],
)
def test_the_gate_loses_no_turn_that_the_network_alone_detects(
    sample_file: Path, situation: str
) -> None:
    (row,) = score_situations(spoken(sample_file), 1, 0, [situation])
    assert row["turns"] == row["heard"] == 4
    assert row["lost"] == 0


@pytest.mark.corpus
@pytest.mark.parametrize("seed", [2, 4, 9])
def test_the_network_gets_the_context_of_a_quiet_voice(shared_dir: Path, seed: int) -> None:
    samples = load_audio(shared_dir / "crema-d" / "audio" / "1047_TIE_FEA_XX.opus", RATE)
    clip = at_speech_level(Clip("quiet", "fear", samples, "1047"))
    stream = join_turns([clip], RATE, np.random.default_rng(seed))
    quiet = stream.samples * np.float32(amplitude(-17))
    assert detected_turns(NetworkAlone(), quiet, stream.turns) == [True]
    assert detected_turns(SpeechDetector(), quiet, stream.turns) == [True]
