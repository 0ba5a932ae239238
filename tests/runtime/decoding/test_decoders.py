"""Files as people have them: unfinished, odd, of other programs, of absurd headers."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

import emo_listen.decoding.media
from emo_listen.audio import load_audio
from emo_listen.cli import main
from emo_listen.decoding.base import BLOCK_BYTES
from emo_listen.decoding.open import open_decoder
from emo_listen.errors import AudioFileError

av = pytest.importorskip("av")

RATE = 16000
NOISE = np.random.default_rng(0).integers(-3000, 3000, 2 * RATE, dtype=np.int16)
TONE = (0.3 * np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE)).astype(np.float32)


def encode(path: Path, samples: np.ndarray, codec: str, rate: int = RATE) -> Path:
    """Write mono float `samples` at `rate` Hz with PyAV."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout="mono")
        if codec != "libopencore_amrnb":
            stream.bit_rate = 32_000
        resampler = av.AudioResampler(stream.format, "mono", rate)
        frame = av.AudioFrame.from_ndarray(samples[np.newaxis], format="fltp", layout="mono")
        frame.sample_rate = rate
        for ready in [*resampler.resample(frame), None]:
            container.mux(stream.encode(ready))
    return path


def without(monkeypatch: pytest.MonkeyPatch, *, ffmpeg: Path | None = None) -> None:
    """Take PyAV away, and put a folder with an `ffmpeg` first, or none, on the path."""
    monkeypatch.setattr(emo_listen.decoding.media, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(ffmpeg or "/nonexistent"))


@pytest.fixture
def ffmpeg(tmp_path: Path) -> Path:
    """A folder with a command `ffmpeg` that decodes with PyAV, and fails where it fails."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / "ffmpeg"
    script.write_text(
        f"#!{sys.executable}\n"
        "import struct, sys, av, numpy as np\n"
        "arguments = sys.argv[1:]\n"
        "assert arguments[arguments.index('-protocol_whitelist') + 1] == 'file'\n"
        "place = arguments[arguments.index('-i') + 1].removeprefix('file:')\n"
        "with av.open(open(place, 'rb')) as container:\n"
        "    stream = container.streams.audio[0]\n"
        "    frames = [frame.to_ndarray() for frame in container.decode(stream)]\n"
        "    rate = stream.rate\n"
        "sound = np.concatenate(frames, 1).astype('<f4')\n"
        "sys.stdout.buffer.write(b'RIFF' + b'\\xff' * 4 + b'WAVEfmt ' + struct.pack(\n"
        "    '<IHHIIHH', 16, 3, 1, rate, rate * 4, 4, 32) + b'data' + b'\\xff' * 4)\n"
        "sys.stdout.buffer.write(sound.tobytes())\n"
    )
    script.chmod(0o755)
    return folder


@pytest.mark.parametrize(
    ("name", "codec", "rate"),
    [
        ("talk.m4a", "aac", 16000),
        ("talk.mp4", "aac", 16000),
        ("talk.aac", "aac", 16000),
        ("talk.webm", "libopus", 16000),
        ("talk.amr", "libopencore_amrnb", 8000),
    ],
)
def test_what_phones_and_meetings_record_is_read(
    tmp_path: Path, name: str, codec: str, rate: int
) -> None:
    path = encode(tmp_path / name, TONE, codec, rate)
    samples = load_audio(path, rate)
    assert abs(len(samples) - len(TONE)) < 0.2 * RATE
    assert 0.2 < np.abs(samples[RATE // 2 : RATE]).max() < 0.4


def test_without_a_second_decoder_the_command_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = encode(tmp_path / "my talk.m4a", TONE, "aac")
    without(monkeypatch)
    with pytest.raises(AudioFileError, match="cannot be decoded as audio") as error:
        load_audio(path, RATE)
    assert "pip install 'emo-listen[media]'" in str(error.value)
    assert f"ffmpeg -i '{path}' -ac 1 -ar 16000 '{path.with_suffix('.wav')}'" in str(error.value)


def test_the_ffmpeg_command_is_the_next_best(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ffmpeg: Path
) -> None:
    path = encode(tmp_path / "talk.m4a", TONE, "aac")
    by_pyav = load_audio(path, RATE)
    without(monkeypatch, ffmpeg=ffmpeg)
    np.testing.assert_array_equal(load_audio(path, RATE), by_pyav)
    (tmp_path / "text.m4a").write_text("no sound")
    with pytest.raises(AudioFileError, match="cannot be decoded as audio"):
        load_audio(tmp_path / "text.m4a", RATE)


def test_a_playlist_is_not_followed(tmp_path: Path) -> None:
    encode(tmp_path / "secret.m4a", TONE, "aac")
    for text in ("ffconcat version 1.0\nfile secret.m4a\n", "#EXTM3U\n#EXTINF:2,\nsecret.m4a\n"):
        (tmp_path / "talk.m4a").write_text(text)
        with pytest.raises(AudioFileError, match="cannot be decoded as audio"):
            load_audio(tmp_path / "talk.m4a", RATE)


def odd_opus(path: Path) -> Path:
    """Write four seconds of Opus whose first page claims 10 ms more than it holds."""
    soundfile.write(path, np.tile(TONE, 2), RATE, format="OGG", subtype="OPUS")
    content = bytearray(path.read_bytes())
    pages = [at for at in range(len(content)) if content[at : at + 4] == b"OggS"]
    assert len(pages) > 3
    page = pages[2]
    (time,) = struct.unpack_from("<q", content, page + 6)
    struct.pack_into("<q", content, page + 6, time + 489)
    end = pages[3]
    content[page + 22 : page + 26] = bytes(4)
    struct.pack_into("<I", content, page + 22, ogg_checksum(content[page:end]))
    path.write_bytes(content)
    return path


def ogg_checksum(page: bytes | bytearray) -> int:
    value = 0
    for byte in page:
        value ^= byte << 24
        for _ in range(8):
            value = (value << 1 ^ (0x04C11DB7 if value & 0x80000000 else 0)) & 0xFFFFFFFF
    return value


def test_opus_that_libsndfile_calls_malformed_is_read_whole(tmp_path: Path) -> None:
    path = odd_opus(tmp_path / "odd.opus")
    with pytest.raises(soundfile.SoundFileError):
        soundfile.read(path)
    samples = load_audio(path, RATE)
    assert abs(len(samples) - 2 * len(TONE)) < 0.02 * RATE
    # Nor is there a hole where the second decoder takes over.
    levels = np.sqrt(np.square(samples[: len(samples) // 800 * 800].reshape(-1, 800)).mean(1))
    assert levels[1:-1].min() > 0.15


@pytest.mark.corpus
def test_the_odd_recordings_of_esc_10_are_read_whole(
    shared_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = sorted((shared_dir / "odd-files").glob("*.opus"))
    assert len(files) == 4
    for file in files:
        assert len(load_audio(file, RATE)) == pytest.approx(5.0 * RATE, abs=0.02 * RATE)
    without(monkeypatch)
    for file in files:
        with pytest.raises(AudioFileError, match=r"is damaged .* s after its start"):
            load_audio(file, RATE)


def test_a_hole_is_damage_to_a_second_decoder_too(tmp_path: Path) -> None:
    for suffix, options in ((".flac", {}), (".opus", {"format": "OGG", "subtype": "OPUS"})):
        path = tmp_path / f"talk{suffix}"
        soundfile.write(path, np.tile(NOISE, 4), RATE, **options)
        content = bytearray(path.read_bytes())
        middle = len(content) // 2
        content[middle : middle + 9000] = bytes(9000)
        path.write_bytes(content)
        with pytest.raises(AudioFileError, match=r"is damaged \d\.\d\d s after its start"):
            load_audio(path, RATE)


@pytest.mark.parametrize("sizes", [(0, 0), (36, 0), (0xFFFFFFFF, 0xFFFFFFFF), (0, 0xFFFFFFFF)])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT", "PCM_U8"])
def test_a_recording_that_was_never_finished_is_read(
    tmp_path: Path, sizes: tuple[int, int], subtype: str
) -> None:
    path = tmp_path / "killed.wav"
    stereo = np.stack([TONE, 0.5 * TONE], axis=1)
    soundfile.write(path, stereo, RATE, subtype=subtype)
    expected = load_audio(path, RATE)
    content = bytearray(path.read_bytes())
    at = content.index(b"data")
    end = at + 8 + struct.unpack_from("<I", content, at + 4)[0]
    content[at + 4 : at + 8] = struct.pack("<I", sizes[1])
    content[4:8] = struct.pack("<I", sizes[0])
    path.write_bytes(content[:end])
    np.testing.assert_array_equal(load_audio(path, RATE), expected)


@pytest.mark.parametrize("subtype", ["PCM_16", "ULAW", "FLOAT"])
@pytest.mark.parametrize(
    ("suffix", "magic", "sizes"), [("au", b".snd", (0, 4000)), ("aiff", b"SSND", (8, 4000))]
)
def test_an_unfinished_au_or_aiff_is_read_as_far_as_the_data_goes(
    tmp_path: Path, suffix: str, magic: bytes, sizes: tuple[int, int], subtype: str
) -> None:
    path = tmp_path / f"killed.{suffix}"
    soundfile.write(path, np.stack([TONE, 0.5 * TONE], axis=1), RATE, subtype=subtype)
    expected = load_audio(path, RATE)
    content = bytearray(path.read_bytes())
    at = content.index(magic) + (8 if suffix == "au" else 4)
    # libsndfile itself reads as many bytes as the header says.
    struct.pack_into(">I", content, at, sizes[1])
    path.write_bytes(content)
    assert 0 < len(load_audio(path, RATE)) < len(expected)
    struct.pack_into(">I", content, at, sizes[0])
    path.write_bytes(content)
    np.testing.assert_array_equal(load_audio(path, RATE), expected)
    np.testing.assert_array_equal(load_audio(io.BytesIO(content), RATE), expected)


def test_an_au_without_sound_is_empty(tmp_path: Path) -> None:
    path = tmp_path / "empty.au"
    soundfile.write(path, NOISE[:0], RATE)
    assert len(load_audio(path, RATE)) == 0


def test_flac_without_a_length_is_read(tmp_path: Path) -> None:
    path = tmp_path / "killed.flac"
    soundfile.write(path, NOISE, RATE)
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    path.write_bytes(content)
    np.testing.assert_array_equal(load_audio(path, RATE), NOISE / np.float32(32768))


@pytest.mark.parametrize("rate", [1, 10, 999, 1_000_001, 100_000_000, 2_000_000_000])
def test_absurd_rates_are_refused(tmp_path: Path, rate: int) -> None:
    path = tmp_path / "talk.wav"
    soundfile.write(path, NOISE, RATE)
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, 24, rate)
    path.write_bytes(content)
    message = rf"talk\.wav has a sampling rate of {rate} Hz: only 1000 to 1000000 Hz"
    with pytest.raises(AudioFileError, match=message):
        load_audio(path, RATE)


def test_blocks_are_bounded_in_bytes_whatever_the_header_says(tmp_path: Path) -> None:
    path = tmp_path / "many.wav"
    soundfile.write(path, np.zeros((100_000, 64), np.int16), 1_000_000)
    decoder = open_decoder(path, "many.wav")
    blocks = list(decoder)
    decoder.close()
    assert sum(map(len, blocks)) == 100_000
    assert max(block.nbytes for block in blocks) <= BLOCK_BYTES
    soundfile.write(path, np.zeros((1000, 65), np.int16), RATE)
    with pytest.raises(AudioFileError, match=r"many\.wav has 65 channels: at most 64"):
        load_audio(path, RATE)


def test_mp3_is_read_without_seeking(
    tmp_path: Path, sample_file: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = encode(tmp_path / "talk.mp3", load_audio(sample_file, RATE), "libmp3lame")
    whole, _ = soundfile.read(path, dtype="float32")
    capfd.readouterr()
    np.testing.assert_allclose(load_audio(path, RATE), whole, atol=1e-6)
    assert capfd.readouterr() == ("", "")


def test_what_cannot_be_opened_says_so(tmp_path: Path) -> None:
    path = tmp_path / "talk.wav"
    soundfile.write(path, NOISE, RATE)
    path.chmod(0)
    tmp_path.chmod(0)
    user = os.geteuid()
    try:
        if user == 0:
            os.seteuid(65534)
        with pytest.raises(AudioFileError, match=r"talk\.wav cannot be opened: Permission denied$"):
            load_audio(path, RATE)
    finally:
        if user == 0:
            os.seteuid(0)
        tmp_path.chmod(0o700)


def test_what_is_not_a_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "broken.wav").symlink_to("nowhere")
    (tmp_path / "loop.wav").symlink_to("loop.wav")
    for name, message in (
        ("pipe.wav", "is a pipe, a socket or a device, not a file"),
        ("broken.wav", "is a link to a file that does not exist"),
        ("loop.wav", "cannot be opened: Too many levels of symbolic links"),
        ("x\0.wav", "is not a file: check the path"),
        ("absent.wav", "absent.wav is not a file: check the path"),
        ("n" * 300, "cannot be opened: File name too long"),
    ):
        with pytest.raises(AudioFileError, match=message):
            load_audio(tmp_path / name, RATE)


def test_names_that_are_not_utf_8_are_read(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.wav"))
    soundfile.write(path.with_name("cafe.wav"), NOISE, RATE)
    path.with_name("cafe.wav").rename(path)
    assert len(load_audio(path, RATE)) == len(NOISE)
    encode(tmp_path / "cafe.m4a", TONE, "aac").rename(path.with_suffix(".m4a"))
    assert len(load_audio(path.with_suffix(".m4a"), RATE)) > RATE


@pytest.mark.parametrize("name", ["talk.m4a", "talk.mp3"])
def test_the_command_reads_them_too(
    tmp_path: Path, sample_file: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    voice = load_audio(sample_file, RATE)[: 5 * RATE]
    path = tmp_path / name
    if name.endswith("mp3"):
        soundfile.write(path, voice, RATE)
    else:
        encode(path, voice, "aac")
    assert main(["--device", str(path)]) == 0
    output = capfd.readouterr()
    assert '"segment"' in output.out and output.err == ""


def test_the_runtime_needs_no_pyav(sample_file: Path) -> None:
    code = (
        "import sys\nsys.modules['av'] = None\n"
        "from emo_listen.audio import load_audio\n"
        f"assert len(load_audio({str(sample_file)!r}, 16000))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
