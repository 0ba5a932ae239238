"""`emo-listen enroll`: a voice's baseline from a microphone or files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from emo_listen import Baseline, EmotionModel, WindowEvent, listen
from emo_listen.audio import load_audio
from emo_listen.cli import main
from tests.support.tiny_models import HEAD, write_head_model
from tests.support.virtual_microphone import VirtualMicrophone

RATE = 16000

VOICE_HEAD = {
    **HEAD,
    "population": [-4.2, 0.0],
    "class_offsets": [[6, 0, -6], [0, 0, 0], [-6, 0, 6]],
    "speaker_covariance": [[0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]],
    "noise_covariance": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
}
"""The bundled sample is ordinary speech to a model with this head."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_head_model(tmp_path / "levels", head=VOICE_HEAD)


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "me.json"


@pytest.fixture
def voice(sample_file: Path) -> np.ndarray:
    return load_audio(sample_file, RATE)


def enroll(output: Path, folder: Path, *files: Path) -> int:
    return main(
        ["enroll", "--output", str(output), "--model", str(folder), "--device", *map(str, files)]
    )


def test_labels_are_relative_to_the_enrolled_baseline(
    folder: Path, output: Path, sample_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert enroll(output, folder, sample_file, sample_file) == 0
    baseline = Baseline.load(output)
    errors = capsys.readouterr().err.splitlines()
    assert errors == [f"Baseline from {baseline.seconds:.1f} s of speech written to {output}"]
    assert baseline.seconds > 20
    # Only the speech counts, not the silence in between.
    model = EmotionModel.load(folder)
    samples = load_audio(sample_file, RATE)
    embeddings = [
        model.embed(samples[round(event.start * RATE) : round(event.end * RATE)], RATE)
        for event in listen(sample_file, model=model, emit="windows")
        if isinstance(event, WindowEvent)
    ]
    np.testing.assert_allclose(baseline.embedding, np.mean(embeddings, axis=0), atol=0.2)
    command = ["--device", str(sample_file), "--model", str(folder), "--baseline", str(output)]
    assert main(command) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {event["baseline_seconds"] for event in events} == {round(baseline.seconds, 1)}
    assert enroll(output, folder, sample_file) == 0  # An older baseline is replaced.
    assert Baseline.load(output).seconds < 20


def test_too_little_speech_is_an_error_and_writes_nothing(
    folder: Path, output: Path, voice: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    short = output.with_name("short.wav")
    soundfile.write(short, voice[: 5 * RATE], RATE)
    assert enroll(output, folder, short) == 2
    assert "at least 5 s are needed" in capsys.readouterr().err
    assert not output.exists()
    soundfile.write(short, voice[: 12 * RATE], RATE)
    assert enroll(output, folder, short) == 0
    assert "20 s are recommended" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        # Two voices, a soft and a loud one.
        (lambda voice: np.concatenate((voice / 6, voice * 6)), "varied more than"),
        (lambda voice: np.tile(voice * 60, 2), "very different from the ordinary speech"),
        (lambda voice: np.tile(voice * 20, 2), "sounded like anger"),
    ],
)
def test_speech_that_is_not_ordinary_gets_a_warning(
    folder: Path,
    output: Path,
    voice: np.ndarray,
    capsys: pytest.CaptureFixture[str],
    change,
    warning: str,
) -> None:
    file = output.with_name("odd.wav")
    soundfile.write(file, change(voice), RATE, subtype="FLOAT")
    assert enroll(output, folder, file) == 0
    assert warning in capsys.readouterr().err
    assert output.exists()


def test_an_unusable_output_is_refused_before_recording(
    folder: Path, output: Path, sample_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output.write_text("a diary")
    for place, message in (
        (output, "not a baseline: choose another --output"),
        (output / "x", "is not a folder: create it first"),
        (output.parent, "not a baseline"),
    ):
        assert enroll(place, folder, Path("absent.wav")) == 2
        assert message in capsys.readouterr().err
    assert output.read_text() == "a diary"


def test_a_model_without_a_head_cannot_enroll(
    folder: Path, output: Path, sample_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = json.loads((folder / "emo_listen.json").read_text())
    (folder / "emo_listen.json").write_text(json.dumps({**settings, "head": None}))
    assert enroll(output, folder, sample_file) == 2
    assert "levels does not support baselines" in capsys.readouterr().err
    assert main(["--model", str(folder), "--device", str(sample_file), "--baseline", "x"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert main(["--model", str(folder), "--device", str(sample_file)]) == 0


@pytest.mark.audio_device
def test_a_microphone_is_recorded_until_there_is_enough(
    folder: Path, output: Path, voice: np.ndarray
) -> None:
    # The real command with a lower target, so that the test takes seconds.
    code = (
        "import sys; from emo_listen import cli; from emo_listen.commands import enroll\n"
        "enroll.TARGET_SECONDS = 2.0; enroll.MIN_SECONDS = 1.0\n"
        f"sys.exit(cli.main(['enroll', '--output', {str(output)!r}, '--model', {str(folder)!r}]))"
    )
    speech = output.with_name("voice.wav")
    soundfile.write(speech, voice[: 9 * RATE], RATE)
    with VirtualMicrophone() as microphone:
        environment = microphone.capture().environment
        with subprocess.Popen(
            [sys.executable, "-c", code], env=environment, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stderr is not None
            assert "Speak as you usually do" in process.stderr.readline()
            while process.poll() is None:
                microphone.run("paplay", "--device=virt", speech)
            errors = process.stderr.read()
    assert process.returncode == 0
    assert f"s of speech written to {output}" in errors
    assert 2 <= Baseline.load(output).seconds < 6
