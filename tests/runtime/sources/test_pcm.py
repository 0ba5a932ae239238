"""What comes on standard input: PCM in several forms, sound files, pauses, nothing at all."""

from __future__ import annotations

import fcntl
import io
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

from emo_listen.audio import load_audio, mixed_down
from emo_listen.decoding.containers import container_of
from emo_listen.decoding.pcm import PcmFormat, pcm_samples
from emo_listen.errors import AudioFileError, AudioInputError
from emo_listen.sources.pcm_stream import MAX_FILE_BYTES, PcmStream

RATE = 16000
COMMAND = [sys.executable, "-m", "emo_listen.cli"]
WINDOWS = ["--emit", "windows", "--no-vad"]


def read(data: bytes, rate: int = RATE, *form: object) -> np.ndarray:
    blocks = list(PcmStream(io.BytesIO(data), rate, *form))  # type: ignore[arg-type]
    columns = [block if block.ndim == 2 else block[:, np.newaxis] for block in blocks]
    return np.concatenate([np.zeros(0, np.float32), *mixed_down(columns, rate)])


@pytest.fixture(scope="module")
def voice(sample_file: Path) -> np.ndarray:
    """Three seconds of speech at 16 kHz, of 16 bits."""
    return (np.rint(load_audio(sample_file, RATE)[: 3 * RATE] * 32768) / 32768).astype(np.float32)


@pytest.mark.parametrize(
    ("form", "dtype", "scale"),
    [("s16le", "<i2", 2**15), ("s32le", "<i4", 2**31), ("f32le", "<f4", 1), ("f64le", "<f8", 1)],
)
def test_samples_come_out_as_they_went_in(
    voice: np.ndarray, form: PcmFormat, dtype: str, scale: int
) -> None:
    data = (voice.astype(np.float64) * scale).astype(dtype).tobytes()
    np.testing.assert_array_equal(pcm_samples(data, form, 1)[:, 0], voice)
    np.testing.assert_array_equal(read(data + b"\0", RATE, form), voice)
    quiet = np.repeat(voice, 2) * np.tile(np.array([1, 0.5], np.float32), len(voice))
    stereo = (quiet.astype(np.float64) * scale).astype(dtype).tobytes()
    assert pcm_samples(stereo, form, 2).shape == (len(voice), 2)


def test_the_command_takes_float_and_stereo(voice: np.ndarray) -> None:
    def windows(data: bytes, *options: str) -> list[dict]:
        command = [*COMMAND, "--device", "-", *WINDOWS, *options]
        result = subprocess.run(command, input=data, capture_output=True, timeout=120)
        assert (result.returncode, result.stderr) == (0, b"")
        return [json.loads(line) for line in result.stdout.splitlines()]

    expected = windows((voice * 32768).astype("<i2").tobytes())
    assert expected[-1]["end"] == 3
    stereo = np.stack([voice, voice], axis=1)
    assert windows(stereo.tobytes(), "--pcm-format", "f32le", "--pcm-channels", "2") == expected
    wide = (stereo.astype(np.float64) * 2**31).astype("<i4").tobytes()
    assert windows(wide, "--pcm-format", "s32le", "--pcm-channels", "2") == expected


@pytest.mark.parametrize(
    "options",
    [
        {"format": "WAV"},
        {"format": "WAV", "subtype": "FLOAT"},
        {"format": "WAV", "subtype": "PCM_24"},
        {"format": "WAV", "subtype": "ULAW"},
        {"format": "WAVEX"},
        {"format": "RF64"},
        {"format": "AIFF"},
        {"format": "FLAC"},
        {"format": "OGG"},
        {"format": "OGG", "subtype": "OPUS"},
        {"format": "MP3"},
        {"format": "CAF"},
        {"format": "AU"},
        {"format": "W64"},
    ],
    ids=lambda options: " ".join(options.values()),
)
@pytest.mark.parametrize("rate", [16000, 48000])
def test_a_piped_file_is_read_as_what_it_is(
    tmp_path: Path, sample_file: Path, options: dict[str, str], rate: int
) -> None:
    path = tmp_path / "talk"
    samples = load_audio(sample_file, rate)[:rate]
    soundfile.write(path, np.stack([samples, samples], axis=1), rate, **options)
    content = path.read_bytes()
    assert container_of(content[:4096]) is not None
    np.testing.assert_array_equal(read(content), load_audio(path, RATE))


def test_every_kind_of_mp3_and_aac_is_recognised(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    noise = np.random.default_rng(0).normal(0, 0.1, 48000).astype(np.float32)
    for codec, rates in (("libmp3lame", (8000, 16000, 22050, 44100, 48000)), ("aac", (16000,))):
        for rate in rates:
            path = tmp_path / ("talk.mp3" if codec == "libmp3lame" else "talk.aac")
            options = {"write_xing": "0", "id3v2_version": "0"} if codec == "libmp3lame" else {}
            with av.open(str(path), "w", options=options) as container:
                stream = container.add_stream(codec, rate=rate, layout="mono")
                frame = av.AudioFrame.from_ndarray(noise[np.newaxis], "fltp", "mono")
                frame.sample_rate = rate
                for ready in (frame, None):
                    container.mux(stream.encode(ready))
            start = path.read_bytes()[:4096]
            assert start[0] == 0xFF
            assert container_of(start) == ("MP3" if codec == "libmp3lame" else "AAC")


def test_pcm_is_never_taken_for_a_file() -> None:
    generator = np.random.default_rng(0)
    for _ in range(2000):
        noise = generator.bytes(4096)
        assert container_of(noise) is None
        assert container_of(b"\xff\xfb" + noise[2:]) is None
    data = b"\xff\xfb\x90\x64" + bytes(4000)
    assert len(read(data)) == len(data) // 2


def test_wav_comes_as_it_is_spoken(voice: np.ndarray) -> None:
    """As arecord writes it, which knows no length yet."""
    file = io.BytesIO()
    soundfile.write(file, voice, RATE, format="WAV", subtype="PCM_16")
    content = bytearray(file.getvalue())
    at = content.index(b"data") + 4
    content[at : at + 4] = b"\xff" * 4
    with subprocess.Popen(
        [*COMMAND, "--device", "-", *WINDOWS], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin and process.stdout
        process.stdin.write(content[:33000])
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["end"] == 1
        process.kill()


def test_what_cannot_be_read_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(AudioFileError, match="standard input cannot be decoded as audio"):
        read(b"fLaC" + bytes(100))
    monkeypatch.setattr("emo_listen.sources.pcm_stream.MAX_FILE_BYTES", 1 << 20)
    assert MAX_FILE_BYTES > 1 << 20
    with pytest.raises(AudioInputError, match="standard input has more than 1 MiB of FLAC"):
        read(b"fLaC" + bytes(1 << 20))


def test_a_stream_that_breaks_is_an_input_error() -> None:
    ours, theirs = os.openpty()
    os.close(theirs)  # Reading then fails, as it does where a device or a disk does.
    with (
        open(ours, "rb", buffering=0) as stream,
        pytest.raises(AudioInputError, match="standard input cannot be read: Input/output error"),
    ):
        list(PcmStream(stream, RATE))


def test_a_pause_does_not_end_a_stream_that_does_not_block(voice: np.ndarray) -> None:
    data = (voice * 32768).astype("<i2").tobytes()
    ours, theirs = os.pipe()
    os.set_blocking(ours, False)
    assert fcntl.fcntl(ours, fcntl.F_GETFL) & os.O_NONBLOCK
    waiting = threading.Event()

    def write() -> None:
        for start in range(0, len(data), 20001):
            waiting.wait(0.05)  # So that the reader finds nothing there, most likely.
            os.write(theirs, data[start : start + 20001])
        os.close(theirs)

    writer = threading.Thread(target=write)
    with open(ours, "rb") as stream:
        writer.start()
        blocks = list(PcmStream(stream, RATE))
    writer.join()
    np.testing.assert_array_equal(np.concatenate(blocks)[:, 0], voice)
    assert len(blocks) > 3


@pytest.mark.parametrize(
    ("command", "code", "error"),
    [
        ("{emo} --device {file} <&- 2>&-", 0, ""),
        ("{emo} --device - <&-", 2, "AudioInputError: standard input is closed"),
        ("{emo} --device - <&- >&- 2>&-", 2, ""),
        ("{emo} --device {file} >&-", 2, "cannot write the results"),
        ("{emo} --device {file} --record-labels {log} <&- >&- 2>&-", 2, ""),
        ("{emo} --device absent.wav 2>&-", 2, ""),
        ("{emo} doctor >&-", 2, "cannot write the results"),
        ("{emo} --help >&-", 2, "cannot write the results"),
        ("{emo} --no-such-option 2>&-", 2, ""),
    ],
)
def test_closed_standard_streams(
    command: str, code: int, error: str, sample_file: Path, tmp_path: Path
) -> None:
    emo = " ".join(COMMAND)
    line = command.format(emo=emo, file=sample_file, log=tmp_path / "log.jsonl")
    result = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=120)
    assert "Traceback" not in result.stderr and "Exception" not in result.stderr
    assert result.returncode == code
    assert error in result.stderr
    if code == 0:
        assert '"segment"' in result.stdout
        assert all(json.loads(line) for line in result.stdout.splitlines())
    else:
        assert result.stdout == ""
