"""`emo-listen` as its users run it: a process with pipes, signals and a terminal."""

from __future__ import annotations

import json
import math
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile

from emo_listen import EmotionModel, listen
from emo_listen.audio import load_audio
from emo_listen.cli import main, parse_args
from emo_listen.model import BUNDLED_MODEL
from emo_listen.model_settings import ModelSettings
from emo_listen.sinks.jsonl import event_row

COMMAND = [sys.executable, "-m", "emo_listen.cli"]
WINDOWS = ["--emit", "windows", "--no-vad"]
"""One line per hop, whatever the sound."""


def run(*arguments: str | Path, pcm: bytes | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command; return its output as text."""
    process = subprocess.run(
        [*COMMAND, *map(str, arguments)], input=pcm or b"", capture_output=True, timeout=120
    )
    return subprocess.CompletedProcess(
        process.args, process.returncode, process.stdout.decode(), process.stderr.decode()
    )


@contextmanager
def started(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Start the command with pipes; kill it at the end of the block, or after two minutes."""
    with subprocess.Popen(
        [*COMMAND, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        timer = threading.Timer(120, process.kill)
        timer.start()
        try:
            yield process
        finally:
            timer.cancel()
            process.kill()


@pytest.fixture(scope="module")
def pcm(sample_file: Path) -> bytes:
    """2.3 s of speech as 16-bit PCM at 16 kHz."""
    samples = load_audio(sample_file, 16000)[:36800]
    return np.round(samples * 32767).astype("<i2").tobytes()


def test_a_pipe_gets_json_lines(bundled_model: EmotionModel, sample_file: Path) -> None:
    result = run("--device", sample_file)
    assert (result.returncode, result.stderr) == (0, "")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert lines == [event_row(e) for e in listen(sample_file, model=bundled_model)]
    assert {line["type"] for line in lines} == {"provisional", "segment"}
    fields = ["type", "start", "end", "label", "confidence", "scores", "baseline_seconds"]
    assert list(lines[0]) == fields


@pytest.mark.parametrize(
    ("emit", "types"),
    [("windows", {"window"}), ("all", {"window", "provisional", "segment"})],
)
def test_emit_chooses_the_event_types(sample_file: Path, emit: str, types: set[str]) -> None:
    result = run("--device", sample_file, "--emit", emit, "--no-vad")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert {line["type"] for line in lines} == types
    first = next(line for line in lines if line["type"] == "window")
    assert (first["start"], first["end"]) == (0, 1)


def test_text_has_a_line_for_each_event(sample_file: Path) -> None:
    options = ["--format", "text", "--window", "2", "--hop", "2"]
    result = run("--device", sample_file, *WINDOWS, *options)
    assert result.returncode == 0
    lines = result.stdout.splitlines()
    # The first window ends after 1 s, the last one with the sound.
    assert len(lines) == 1 + math.ceil((soundfile.info(sample_file).duration - 1) / 2)
    assert lines[2].split()[:4] == ["3.0", "-", "5.0", "s"]
    assert "%" in lines[2]
    assert "\x1b" not in result.stdout


def test_both_formats_show_uncertain_labels(sample_file: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(BUNDLED_MODEL, tmp_path / "model"))
    settings = ModelSettings.read(folder)
    settings.uncertain_below = 0.999
    settings.write(folder)
    options: list[str | Path] = ["--model", folder, "--emit", "windows", "--hop", "3"]
    result = run("--device", sample_file, *options)
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert {line["label"] for line in lines} == {"uncertain"}
    assert all(line["confidence"] == max(line["scores"].values()) for line in lines)
    assert all("uncertain" not in line["scores"] for line in lines)

    text = run("--device", sample_file, *options, "--format", "text")
    shown = [line.split()[4:6] for line in text.stdout.splitlines()]
    assert shown == [["uncertain", f"{line['confidence']:.0%}"] for line in lines]


def test_a_terminal_gets_text(sample_file: Path) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "--device", str(sample_file), *WINDOWS, "--hop", "3"],
        stdout=theirs,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TERM": "xterm-256color"},
    )
    os.close(theirs)
    output = b""
    try:
        while data := os.read(ours, 4096):
            output += data
    except OSError:
        pass  # On Linux: the other end is closed.
    os.close(ours)
    assert process.wait(timeout=120) == 0
    assert " 1.0 -   4.0 s" in output.decode()
    assert b"\x1b[" in output


def test_standard_input_equals_a_file(pcm: bytes, bundled_model: EmotionModel) -> None:
    result = run("--device", "-", *WINDOWS, "--baseline", "off", pcm=pcm)
    assert (result.returncode, result.stderr) == (0, "")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["end"] for line in lines] == [1, 1.5, 2, 2.3]
    samples = np.frombuffer(pcm, "<i2").astype(np.float32) / np.float32(32768)
    prior = bundled_model.require_head().prior
    expected = np.array(list(bundled_model.predict(samples, 16000).scores.values())) * prior
    scores = list(lines[-1]["scores"].values())
    np.testing.assert_allclose(scores, expected / expected.sum(), atol=1e-3)
    # At half the rate, the same bytes last twice as long; half a sample at the end is ignored.
    slow = run("--device", "-", *WINDOWS, "--rate", "8000", pcm=pcm + b"\0")
    assert [json.loads(line)["end"] for line in slow.stdout.splitlines()][-1] == 4.6


def test_lines_are_flushed_and_ctrl_c_stops(pcm: bytes) -> None:
    with started("--device", "-", *WINDOWS) as process:
        assert process.stdin and process.stdout and process.stderr
        process.stdin.write(pcm[:33000])
        process.stdin.flush()
        # Standard input stays open: the line must not wait for its end.
        assert json.loads(process.stdout.readline())["end"] == 1
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=120) == 0
        assert process.stderr.read() == b""


def test_terminate_stops(pcm: bytes) -> None:
    with started("--device", "-", *WINDOWS) as process:
        assert process.stdin and process.stdout and process.stderr
        process.stdin.write(pcm)
        process.stdin.flush()
        process.stdout.readline()
        process.terminate()
        assert process.wait(timeout=120) == 0
        assert process.stderr.read() == b""


LIVE_SOURCE = """
import queue, sys
from emo_listen import cli
from emo_listen.sources import open as sources
from emo_listen.audio import load_audio

class Talk:
    live, sampling_rate = True, 16000

    def __init__(self):
        self.ended = queue.SimpleQueue()

    def __iter__(self):
        yield load_audio(sys.argv[1], 16000)[: 2 * 16000]
        self.ended.get()

    def stop(self):
        self.ended.put(None)

sources.open_source = lambda *arguments, **options: Talk()
sys.exit(cli.main(["--format", "jsonl"]))
"""


def test_a_custom_live_source_reports_the_rest_after_a_signal(sample_file: Path) -> None:
    command = [sys.executable, "-c", LIVE_SOURCE, str(sample_file)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert json.loads(process.stdout.readline())["type"] == "provisional"
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (0, b"")
    assert json.loads(output.splitlines()[-1])["type"] == "segment"


def test_a_reader_may_close_the_pipe(pcm: bytes) -> None:
    with started("--device", "-", *WINDOWS) as process:
        assert process.stdin and process.stdout and process.stderr
        process.stdin.write(pcm[:33000])
        process.stdin.flush()
        process.stdout.readline()
        process.stdout.close()
        process.stdin.write(pcm[33000:60000])  # Two more windows.
        process.stdin.close()
        assert process.wait(timeout=120) == 0
        assert process.stderr.read() == b""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full of Linux")
def test_a_full_disk_is_reported(sample_file: Path) -> None:
    with open("/dev/full", "w") as full:
        result = subprocess.run(
            [*COMMAND, "--device", str(sample_file)], stdout=full, stderr=subprocess.PIPE
        )
    assert result.returncode == 2
    assert result.stderr.decode().splitlines() == [
        "emo-listen: OutputError: cannot write the results: [Errno 28] No space left on device"
    ]


def test_colours_can_be_turned_off(sample_file: Path) -> None:
    def output(*options: str, **environment: str) -> str:
        result = subprocess.run(
            [*COMMAND, "--device", str(sample_file), "--format", "text", *options],
            env={**os.environ, "FORCE_COLOR": "1", "TERM": "xterm-256color", **environment},
            capture_output=True,
            text=True,
        )
        return result.stdout

    colours = re.compile(r"\x1b\[[0-9;]*3[1-7]m")
    assert colours.search(output())
    assert not colours.search(output("--no-color"))
    assert not colours.search(output(NO_COLOR="1"))


@pytest.mark.parametrize(
    ("arguments", "device"),
    [
        ([], "mic"),
        (["talk.wav"], "talk.wav"),
        (["-"], "-"),
        (["--no-vad", "talk.wav", "--format", "csv"], "talk.wav"),
        (["--format", "csv", "USB/Front"], "USB/Front"),
        (["--device", "talk.wav", "--no-vad"], "talk.wav"),
    ],
)
def test_the_device_is_a_positional_argument_or_an_option(
    arguments: list[str], device: str
) -> None:
    assert parse_args(arguments).device == device


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (
            ["a.wav", "b c.wav"],
            "give one DEVICE; for several files: emo-listen analyse a.wav 'b c.wav'",
        ),
        (["a.wav", "--device", "mic"], "give DEVICE or --device DEVICE, not both"),
    ],
)
def test_several_devices_are_refused(
    arguments: list[str], error: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        parse_args(arguments)
    assert error in capsys.readouterr().err


def test_missing_speech_is_reported_and_csv_shows_warnings(tmp_path: Path) -> None:
    silence = tmp_path / "silence.wav"
    soundfile.write(silence, np.zeros(11 * 16000), 16000)
    result = run(silence, "--format", "csv")
    assert result.returncode == 0
    assert result.stdout.startswith("start,end,label") and result.stdout.count("\n") == 1
    warning, no_speech = result.stderr.splitlines()
    assert warning == "   10.0 s  input silent for 10 s: is the microphone muted?"
    assert no_speech.startswith("emo-listen: no speech found in 11.0 s of sound, so no labels.")
    assert "add --no-vad" in no_speech
    assert "no speech" not in run(silence, "--no-vad").stderr


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (
            ["absent.flac"],
            "AudioFileError: absent.flac is not a file: check the path, or list the microphones "
            "with emo-listen --list-devices",
        ),
        (["--device", "{text}"], "AudioFileError: {text} cannot be decoded as audio"),
        (["--device", "{folder}"], "AudioFileError: {folder} is a folder: for the sound files in"),
        (["--device", "no/such"], "AudioFileError: no/such is not a file"),
        (["--device", "rtsp://camera/1"], "AudioInputError: rtsp:// URLs are not opened"),
        (["--device", "HTTPS://a.b/c.wav"], "Pipe the audio in: ffmpeg -i URL -f s16le -ac 1"),
        (["--device", "no such device"], "DeviceError: "),
        (["--device", "9999"], "DeviceError: "),
        (["--device", "-"], "AudioInputError: PCM at 16000 Hz from standard input contains"),
        (["--model", "{folder}"], "ModelError: {folder} contains no onnx/model_quantized.onnx"),
        (["--model", "no/such/model"], "ModelError: no/such/model is not a folder"),
        (["--device", "{sample}", "--hop", "9"], "AudioInputError: hop is 9: it must be at most"),
        (["--window", "0"], "argument --window: '0' is not a number from 0.1 to 60"),
    ],
)
def test_errors_have_no_traceback(
    arguments: list[str], error: str, tmp_path: Path, sample_file: Path
) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("no sound")
    names = {"text": text, "folder": tmp_path, "sample": sample_file}
    result = run(*[argument.format(**names) for argument in arguments])
    assert result.returncode == 2
    assert error.format(**names) in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--osc", "9000"], "argument --osc: '9000' is not HOST:PORT"),
        (["--websocket", "x"], "argument --websocket: 'x' is not a port or HOST:PORT"),
        (
            ["--device", "{sample}", "--osc", "no.such.host.invalid:9000"],
            "OutputError: cannot send OSC",
        ),
        (["--device", "{sample}", "--format", "csv", "--emit", "all"], "OutputError: --format csv"),
        (["--device", "{sample}", "--format", "audformat"], "needs --output"),
        (["-", "--format", "audformat", "--output", "x"], "--format audformat needs a sound file"),
        (["--device", "{sample}", "--output", "x"], "OutputError: --output works only with"),
        (["--device", "{sample}", "--plot", "x.txt"], "OutputError: x.txt must end in .png"),
        (
            ["{sample}", "--plot", "no/x.png"],
            "OutputError: no is not a folder",
        ),
        (["--device", "-", "--plot", "x.png"], "OutputError: --plot needs a sound file"),
        (["--device", "{sample}", "--record-labels", "{text}"], "{text} exists and was not"),
        (["--device", "{sample}", "--record-labels", "{folder}"], "{folder} is not a regular file"),
        (["--device", "{sample}", "--record-labels", "no/x"], "OutputError: no/x cannot be"),
        (["analyse", "absent", "--output", "x.jsonl"], "AudioFileError: absent does not exist"),
        (["analyse", "{folder}", "--output", "x.jsonl"], "AudioFileError: no sound files in"),
        (["analyse", "{sample}", "--output", "x.txt"], "OutputError: x.txt must end in"),
    ],
)
def test_unusable_outputs_are_refused_before_listening(
    arguments: list[str],
    error: str,
    tmp_path: Path,
    sample_file: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("no sound")
    names = {"text": text, "folder": tmp_path, "sample": sample_file}
    try:
        status: int | str | None = main([argument.format(**names) for argument in arguments])
    except SystemExit as end:  # Raised by argparse.
        status = end.code
    output = capsys.readouterr()
    assert (status, output.out) == (2, "")
    assert error.format(**names) in output.err
    assert text.read_text() == "no sound"


def test_missing_portaudio_names_its_package(sample_file: Path) -> None:
    def without_portaudio(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        code = (
            "import ctypes.util, sys; ctypes.util.find_library = lambda name: None; "
            f"from {module} import main; sys.exit(main({list(arguments) or ''}))"
        )
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    result = without_portaudio("emo_listen.cli", "--device", "mic")
    assert result.returncode == 2
    assert "DeviceError: PortAudio library not found" in result.stderr
    assert "apt install libportaudio2" in result.stderr
    assert without_portaudio("emo_listen.cli", "--device", str(sample_file)).returncode == 0
    absent = without_portaudio("emo_listen.cli", "--device", "no/such")
    assert "AudioFileError: no/such is not a file" in absent.stderr
    demo = without_portaudio("emo_listen.demo")
    assert demo.returncode == 0
    assert "apt install libportaudio2" in demo.stderr
    assert demo.stdout == run("--device", sample_file, "--format", "text").stdout != ""


def test_help_and_version() -> None:
    help_text = run("--help")
    assert help_text.returncode == 0
    for option in ("--device", "--emit", "--websocket", "analyse PATH", "emo-listen doctor"):
        assert option in help_text.stdout
    assert max(map(len, help_text.stdout.splitlines())) <= 100
    for command in ("analyse", "doctor"):
        assert run(command, "--help").stdout.startswith(f"usage: emo-listen {command}")
    assert run("--version").stdout.startswith("emo-listen 0.")


def test_help_loads_no_runtime() -> None:
    code = (
        "import sys; from emo_listen.cli import parse_args\n"
        "try: parse_args(['--help'])\n"
        "except SystemExit: pass\n"
        "assert not {'numpy', 'onnxruntime', 'sounddevice', 'rich'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_a_file_may_be_named_like_a_command(sample_file: Path, tmp_path: Path) -> None:
    shutil.copy(sample_file, tmp_path / "doctor")
    result = subprocess.run(
        [*COMMAND, "--device", "./doctor"], cwd=tmp_path, capture_output=True, timeout=120
    )
    assert result.returncode == 0
    assert b'"segment"' in result.stdout


def test_importing_the_package_loads_no_runtime() -> None:
    code = (
        "import sys, emo_listen.errors, emo_listen.model_settings; "
        "assert not {'numpy', 'onnxruntime', 'sounddevice'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
