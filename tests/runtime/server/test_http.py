"""HTTP through a real server process: recordings, the model, metrics, documents."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from jsonschema import Draft202012Validator

from emo_listen import EmotionModel, listen
from emo_listen.audio import load_audio
from emo_listen.sinks.jsonl import event_row
from tests.support.server import END, Running, received, running_server, send_in_blocks


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running_server("--max-streams", "4", "--workers", "2", "--max-upload", "1") as running:
        yield running


@pytest.fixture(scope="module")
def wav(sample_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sound") / "talk.wav"
    soundfile.write(path, load_audio(sample_file, 16_000)[: 8 * 16_000], 16_000, "PCM_16")
    return path


@pytest.fixture(scope="module")
def events(wav: Path, bundled_model: EmotionModel) -> list[dict[str, Any]]:
    return [event_row(event) for event in listen(wav, model=bundled_model)]


def test_a_file_gets_the_events_of_listen(
    server: Running, wav: Path, events: list[dict[str, Any]]
) -> None:
    answer = server.json("POST", "/v1/analyse", wav.read_bytes())
    assert answer == {"type": "analysis", "seconds": 8.0, "events": events}
    assert len(events) > 3


def test_json_lines_on_request(server: Running, wav: Path, events: list[dict[str, Any]]) -> None:
    status, headers, body = server.request(
        "POST", "/v1/analyse", wav.read_bytes(), {"Accept": "application/x-ndjson"}
    )
    assert (status, headers["content-type"]) == (200, "application/x-ndjson")
    lines = [json.loads(line) for line in body.splitlines()]
    assert lines == [*events, {"type": "end", "seconds": 8.0}]


def test_raw_pcm_and_options(server: Running, wav: Path, bundled_model: EmotionModel) -> None:
    samples, _ = soundfile.read(wav, dtype="int16")
    answer = server.json(
        "POST",
        "/v1/analyse?format=s16le&sampling_rate=16000&channels=1&emit=windows&baseline=off&vad=false",
        samples.astype("<i2").tobytes(),
    )
    options: dict[str, Any] = {"emit": "windows", "baseline": "off", "vad": False}
    expected = [event_row(event) for event in listen(wav, model=bundled_model, **options)]
    assert answer["events"] == expected


def test_a_damaged_file_keeps_what_came_before_in_json_lines(server: Running, wav: Path) -> None:
    sound, rate = soundfile.read(wav)
    flac = wav.with_suffix(".flac")
    soundfile.write(flac, sound, rate)
    data = flac.read_bytes()
    half = data[: len(data) // 2]
    _, _, body = server.request("POST", "/v1/analyse", half, {"Accept": "application/jsonl"})
    *before, error = [json.loads(line) for line in body.splitlines()]
    assert before[0]["type"] == "provisional"
    assert (error["type"], error["code"]) == ("error", "bad_audio")
    status, _, body = server.request("POST", "/v1/analyse", half)
    assert (status, json.loads(body)["code"]) == (422, "bad_audio")


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status", "code"),
    [
        ("POST", "/v1/analyse", b"no sound at all", {}, 422, "bad_audio"),
        ("POST", "/v1/analyse", b"", {}, 422, "bad_audio"),
        ("POST", "/v1/analyse?format=s16le", b"abc", {}, 422, "bad_audio"),
        ("POST", "/v1/analyse?emit=some", b"", {}, 400, "bad_request"),
        ("POST", "/v1/analyse?vad=maybe", b"", {}, 400, "bad_request"),
        ("POST", "/v1/analyse?format=s16le&sampling_rate=x", b"", {}, 400, "bad_request"),
        ("POST", "/v1/analyse", bytes((1 << 20) + 1), {}, 413, "too_large"),
        ("POST", "/v1/analyse", b"", {"Content-Type": "multipart/form-data"}, 415, "unsupported"),
        ("GET", "/v1/analyse", None, {}, 405, "method_not_allowed"),
        ("GET", "/v1/stream", None, {}, 404, "not_found"),
        ("GET", "/", None, {}, 404, "not_found"),
    ],
)
def test_refusals_have_a_status_and_a_code(
    server: Running,
    method: str,
    path: str,
    body: bytes | None,
    headers: dict[str, str],
    status: int,
    code: str,
) -> None:
    got, fields, content = server.request(method, path, body, headers)
    row = json.loads(content)
    assert (got, row["type"], row["code"]) == (status, "error", code)
    assert fields["connection"] == "close"
    assert server.json("GET", "/healthz") == {"status": "ok"}


def test_a_body_without_a_length_is_bounded(server: Running) -> None:
    parts = (bytes(1 << 16) for _ in range(64))
    try:
        status, _, body = server.request("POST", "/v1/analyse", parts)
    except (BrokenPipeError, ConnectionResetError):
        pass  # The server answered and closed before everything was sent.
    else:
        assert (status, json.loads(body)["code"]) == (413, "too_large")
    assert server.json("GET", "/healthz") == {"status": "ok"}


def test_metrics_count(server: Running, wav: Path, events: list[dict[str, Any]]) -> None:
    before = server.metrics()
    server.json("POST", "/v1/analyse", wav.read_bytes())
    with server.stream({}) as connection:
        send_in_blocks(connection, wav.read_bytes()[44:], 3200)
        connection.send(END)
        received(connection)
    after = server.metrics()
    grown = {name: value - before.get(name, 0) for name, value in after.items()}
    assert (grown["streams_total"], grown["analyses_total"]) == (1, 1)
    assert grown["audio_seconds_total"] == pytest.approx(16.0)
    assert grown["windows_total"] > 10
    assert grown["events_total"] == 2 * len(events)
    labels = sum(event["type"] in ("provisional", "segment") for event in events)
    assert 0 < grown["latency_seconds_count"] <= labels
    assert grown['latency_seconds_bucket{le="+Inf"}'] == grown["latency_seconds_count"]
    assert grown["busy_seconds_total"] > 0
    assert (after["streams"], after["streams_limit"], after["workers"]) == (0, 4, 2)


def schema(document: dict[str, Any], name: str) -> Draft202012Validator:
    """A validator of one of a document's schemas."""
    return Draft202012Validator(
        {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    )


def test_openapi_describes_what_is_served(
    server: Running, wav: Path, bundled_model: EmotionModel
) -> None:
    document = server.json("GET", "/openapi.json")
    bodies: dict[str, Any] = {"/v1/analyse": wav.read_bytes()}
    for path, methods in document["paths"].items():
        ((method, operation),) = methods.items()
        status, headers, body = server.request(method.upper(), path, bodies.get(path))
        assert status == 200
        content = operation["responses"]["200"]["content"]
        kind = headers["content-type"]
        assert kind in content
        if kind == "application/json":
            described = {**content[kind]["schema"], "components": document["components"]}
            Draft202012Validator(described).validate(json.loads(body))
    names = {one["name"] for one in document["paths"]["/v1/analyse"]["post"]["parameters"]}
    error = server.json("POST", "/v1/analyse?nonsense=1")
    assert error["message"] == f"unknown option 'nonsense': use {', '.join(sorted(names))}"
    schema(document, "Error").validate(error)
    model = server.json("GET", "/v1/models")["models"][0]
    assert (model["model"], model["labels"]) == (bundled_model.name, bundled_model.labels)


def test_asyncapi_describes_the_messages(server: Running, wav: Path) -> None:
    document = server.json("GET", "/asyncapi.json")
    stream = document["channels"]["stream"]
    operations = document["operations"].values()
    named = {m["$ref"].rsplit("/", 1)[-1] for one in operations for m in one["messages"]}
    assert named == set(stream["messages"]) == set(document["components"]["messages"])
    samples, _ = soundfile.read(wav, dtype="float32")
    samples[:100] = np.nan  # A gap.
    options = {"format": "f32le", "emit": "all", "status": True, "sampling_rate": 16000}
    schema(document, "Options").validate(options)
    schema(document, "Finish").validate(json.loads(END))
    with server.stream(options) as connection:
        send_in_blocks(connection, np.append(samples, np.zeros(5 * 16_000, "<f4")).tobytes(), 6400)
        connection.send("nonsense")
        messages = received(connection)
    names = {
        "ready": "Ready",
        "end": "End",
        "error": "Error",
        **{
            kind: f"{kind.title()}Event"
            for kind in ("window", "provisional", "segment", "gap", "warning", "status")
        },
    }
    for message in messages:
        schema(document, names[message["type"]]).validate(message)
    assert {message["type"] for message in messages} >= names.keys() - {"warning"}
    assert not schema(document, "SegmentEvent").is_valid(messages[0])
    wrong: dict[str, Any] = {"sampling_rate": 999}
    assert not schema(document, "Options").is_valid(wrong)
