"""No turn is lost in situations that make a detector of speech deaf."""

from __future__ import annotations

from pathlib import Path

import pytest

from emo_listen.audio import load_audio
from emo_listen.vad import SpeechDetector
from recordings import Clip
from turns_heard import score_situations

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
def test_the_gate_costs_no_turn_that_the_network_alone_would_hear(
    sample_file: Path, situation: str
) -> None:
    (row,) = score_situations(spoken(sample_file), 1, 0, [situation])
    assert row["turns"] == row["heard"] == 4
    assert row["lost"] == 0
