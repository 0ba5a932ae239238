"""`emo-listen doctor`: what it reports about this machine, and what it advises."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import onnxruntime
import pytest
import soundfile

from emo_listen import EmotionModel
from emo_listen.audio import load_audio
from emo_listen.cli import main
from emo_listen.model import BUNDLED_MODEL
from tests.support.virtual_microphone import RATE, VirtualMicrophone

WITHOUT_PORTAUDIO = (
    "import ctypes.util, sys; ctypes.util.find_library = lambda name: None; "
    "from emo_listen.cli import main; sys.exit(main(sys.argv[1:]))"
)


def doctor(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run without PortAudio, so that every machine gives the same report."""
    command = [sys.executable, "-c", WITHOUT_PORTAUDIO, "doctor", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_findings_and_advice(bundled_model: EmotionModel) -> None:
    result = doctor("--json")
    assert (result.returncode, result.stderr) == (1, "")
    report = json.loads(result.stdout)
    assert report["can_listen"] is False
    found = {finding["topic"]: finding for finding in report["findings"]}
    assert [topic for topic in found if not found[topic]["ok"]] == ["microphone"]
    assert "apt install libportaudio2" in found["microphone"]["mend"]
    assert f"onnxruntime {onnxruntime.__version__}" in found["packages"]["found"]
    assert (
        bundled_model.settings.sha256["onnx/model_quantized.onnx"][:12] in found["model"]["found"]
    )
    assert "verified" in found["model"]["found"]
    assert found["labels"]["found"] == ", ".join(bundled_model.labels)
    supported = "enroll" if bundled_model.head is not None else "not supported"
    assert supported in found["baseline"]["found"]
    assert "times faster than real time" in found["speed"]["found"]
    assert {"audformat", "osc", "plot", "websocket"} <= set(found["extras"]["found"].split(", "))
    assert "train" not in found["extras"]["found"]


def test_the_report_fits_a_terminal() -> None:
    result = doctor()
    assert result.returncode == 1
    table, advice = result.stdout.split("\nTo do:\n")
    assert max(map(len, table.splitlines())) <= 80
    assert advice.startswith("- microphone: PortAudio library not found")
    assert advice.endswith("emo-listen cannot listen yet.\n")


@pytest.mark.audio_device
def test_a_microphone_must_deliver_sound(sample_file: Path, tmp_path: Path) -> None:
    voice = tmp_path / "voice.wav"
    soundfile.write(voice, load_audio(sample_file, RATE), RATE)
    command = [sys.executable, "-m", "emo_listen.cli", "doctor", "--json"]
    with VirtualMicrophone() as microphone:
        silent = json.loads(microphone.run(*command).stdout)
        play = ["sh", "-c", 'while paplay --device=virt "$0"; do :; done', str(voice)]
        with subprocess.Popen(play, env=microphone.capture().environment):
            with_sound = microphone.run(*command)
            microphone.kill()  # This also stops paplay.
    (finding,) = (f for f in silent["findings"] if f["topic"] == "microphone")
    assert (silent["can_listen"], finding["ok"]) == (False, False)
    assert "unmute it" in finding["mend"]
    report = json.loads(with_sound.stdout)
    assert (with_sound.returncode, report["can_listen"]) == (0, True)


def test_a_damaged_model_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path(shutil.copytree(BUNDLED_MODEL, tmp_path / "model"))
    with (folder / "onnx" / "model_quantized.onnx").open("ab") as file:
        file.write(b"\0")
    assert main(["doctor", "--json", "--model", str(folder)]) == 1
    findings = json.loads(capsys.readouterr().out)["findings"]
    (model,) = (finding for finding in findings if finding["topic"] == "model")
    assert not model["ok"]
    assert "does not match the SHA-256" in model["mend"]
