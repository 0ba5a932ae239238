"""Streams through a real server process, with real clients."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from emo_listen import EmotionModel, ListenOptions, Session, listen
from emo_listen.audio import load_audio
from emo_listen.sinks.jsonl import event_row
from tests.support.server import END, Running, pcm16, received, running_server, send_in_blocks

RATE = 16_000


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running_server("--max-streams", "4", "--workers", "2") as running:
        yield running


@pytest.fixture(scope="module")
def speech(sample_file: Path) -> NDArray[np.float32]:
    return load_audio(sample_file, RATE)[: 9 * RATE]


def expected(
    model: EmotionModel, samples: NDArray[Any], rate: int, **options: Any
) -> list[dict[str, Any]]:
    session = Session(model, ListenOptions(**options))
    return [event_row(event) for event in [*session.push(samples, rate), *session.finish()]]


def streamed(
    server: Running, data: bytes, size: int, options: dict[str, Any]
) -> list[dict[str, Any]]:
    with server.stream(options) as connection:
        send_in_blocks(connection, data, size)
        connection.send(END)
        return received(connection)


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({}, 3201),
        ({"sampling_rate": 16000, "emit": "all"}, 640),
        ({"emit": "windows", "baseline": "off", "vad": False}, 1 << 20),
    ],
)
def test_a_stream_gets_the_events_of_a_session(
    server: Running,
    bundled_model: EmotionModel,
    speech: NDArray[np.float32],
    options: dict[str, Any],
    size: int,
) -> None:
    data = pcm16(speech)
    ready, *events, end = streamed(server, data, size, options)
    listened = {name: value for name, value in options.items() if name != "sampling_rate"}
    samples = np.frombuffer(data, "<i2")
    assert events == expected(bundled_model, samples, RATE, **listened)
    assert len(events) > 3
    assert (ready["type"], ready["labels"]) == ("ready", bundled_model.labels)
    assert end == {"type": "end", "seconds": len(speech) / RATE}


@pytest.mark.parametrize(("form", "kind"), [("f32le", "<f4"), ("s32le", "<i4")])
def test_formats_rates_and_channels(
    server: Running,
    bundled_model: EmotionModel,
    sample_file: Path,
    form: str,
    kind: str,
) -> None:
    mono = load_audio(sample_file, 44_100)[: 5 * 44_100]
    stereo = np.column_stack([mono, 0.1 * mono])
    scaled = stereo if form == "f32le" else stereo * float((1 << 31) - 128)
    block = scaled.astype(kind)
    _, *events, _ = streamed(
        server, block.tobytes(), 5003, {"format": form, "sampling_rate": 44_100, "channels": 2}
    )
    assert events == expected(bundled_model, block.astype(block.dtype.newbyteorder("=")), 44_100)
    assert "segment" in {event["type"] for event in events}


def test_status_is_sent_on_request(server: Running, speech: NDArray[np.float32]) -> None:
    sent = streamed(server, pcm16(speech[:RATE]), 3200, {"status": True})
    assert [row["time"] for row in sent if row["type"] == "status"] == pytest.approx(
        np.arange(1, 11) / 10
    )


def test_a_label_comes_while_the_stream_goes_on(
    server: Running, speech: NDArray[np.float32]
) -> None:
    with server.stream({}) as connection:
        send_in_blocks(connection, pcm16(speech[: 2 * RATE]), 3200)
        assert [json.loads(connection.recv(timeout=60))["type"] for _ in range(2)] == [
            "ready",
            "provisional",
        ]


def test_a_client_that_closes_ends_its_stream(server: Running, speech: NDArray[np.float32]) -> None:
    with server.stream({}) as connection:
        send_in_blocks(connection, pcm16(speech[:RATE]), 3200)
    assert len(streamed(server, b"", 1, {})) == 2
    assert server.metrics()["streams"] == 0


@pytest.mark.parametrize(
    ("first", "message"),
    [
        ("{", "the first message is not JSON"),
        ("[" * 4000, "the first message is not JSON"),
        ('"s16le"', "not a JSON object"),
        (" " * 5000, "longer than 4096"),
        (b"\0\0", "the first message must be text"),
        ('{"format": "mp3"}', "format must be one of s16le, s32le, f32le, opus"),
        ('{"format": ["s16le"]}', "format must be one of"),
        ('{"sampling_rate": 999}', "sampling_rate must be a whole number from 1000 to 192000"),
        ('{"sampling_rate": 16000.5}', "sampling_rate must be a whole number"),
        ('{"channels": true}', "channels must be a whole number from 1 to 8"),
        ('{"channels": 9}', "channels must be a whole number from 1 to 8"),
        ('{"emit": "every"}', "emit must be one of segments, windows, all|windows, segments, all"),
        ('{"baseline": "/etc/passwd"}', "baseline must be one of auto, off"),
        ('{"vad": 1}', "vad must be true or false"),
        ('{"window": 3}', "unknown option 'window'"),
        ('{"format": "opus", "channels": 2}', "leave them out"),
    ],
)
def test_bad_requests_are_named(server: Running, first: str | bytes, message: str) -> None:
    with server.stream() as connection:
        connection.send(first)
        (error,) = received(connection)
    assert (error["type"], error["code"]) == ("error", "bad_request")
    assert any(part in error["message"] for part in message.split("|"))
    assert connection.close_code == 1008


def test_text_within_a_stream_ends_it(server: Running, speech: NDArray[np.float32]) -> None:
    with server.stream({}) as connection:
        send_in_blocks(connection, pcm16(speech[: 2 * RATE]), 3200)
        connection.send("stop")
        *events, error, end = received(connection)
    assert events[-1]["type"] == "segment"
    assert (error["code"], end["type"]) == ("bad_request", "end")


def test_half_a_frame_is_named(server: Running) -> None:
    _, error, end = streamed(server, bytes(3201), 3201, {})
    assert (error["code"], end) == ("bad_audio", {"type": "end", "seconds": 0.1})


def encoded(av: Any, samples: NDArray[np.float32], path: Path, form: str) -> Path:
    """Write mono samples at 48 kHz as browsers record them."""
    with av.open(str(path), "w", format=form) as file:
        track = file.add_stream("libopus", rate=48_000, bit_rate=48_000)
        for start in range(0, len(samples) - 960, 960):
            frame = av.AudioFrame.from_ndarray(samples[None, start : start + 960], "flt", "mono")
            frame.sample_rate, frame.pts = 48_000, start
            file.mux(track.encode(frame))
        file.mux(track.encode(None))
    return path


@pytest.mark.parametrize("size", [97, 4000, 1 << 20])
@pytest.mark.parametrize("form", ["webm", "ogg"])
def test_opus_as_browsers_record_it(
    server: Running,
    bundled_model: EmotionModel,
    sample_file: Path,
    tmp_path: Path,
    form: str,
    size: int,
) -> None:
    av = pytest.importorskip("av")
    sound = load_audio(sample_file, 48_000)[: 6 * 48_000]
    path = encoded(av, sound, tmp_path / f"talk.{form}", form)
    _, *events, end = streamed(server, path.read_bytes(), size, {"format": "opus"})
    assert end["seconds"] == pytest.approx(6, abs=0.05)
    # libsndfile, which reads Ogg, decodes Opus a little differently.
    expected = [event_row(event) for event in listen(path, model=bundled_model)]
    if form == "webm":
        assert events == expected
    assert [row["label"] for row in events] == [row["label"] for row in expected]
    assert "segment" in {row["type"] for row in events}


@pytest.mark.parametrize("data", [b"no", b"nonsense" * 1000, b"OggS" + bytes(5000)])
def test_what_is_not_opus_is_named(server: Running, data: bytes) -> None:
    pytest.importorskip("av")
    _, error, end = streamed(server, data, 1000, {"format": "opus"})
    assert (error["code"], end) == ("bad_audio", {"type": "end", "seconds": 0.0})


def test_opus_that_stops_within_a_stream_is_let_go(
    server: Running, sample_file: Path, tmp_path: Path
) -> None:
    av = pytest.importorskip("av")
    sound = load_audio(sample_file, 48_000)[: 3 * 48_000]
    data = encoded(av, sound, tmp_path / "talk.webm", "webm").read_bytes()
    with server.stream({"format": "opus"}) as connection:
        send_in_blocks(connection, data[: len(data) // 2], 500)
    assert streamed(server, data, 1000, {"format": "opus"})[-1]["type"] == "end"
