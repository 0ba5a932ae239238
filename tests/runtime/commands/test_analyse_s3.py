"""`emo-listen analyse s3://…`, with a real S3 server on loopback."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from emo_listen.audio import load_audio
from emo_listen.cli import main
from emo_listen.errors import AudioFileError
from emo_listen.sources.stored_file import StoredFile

REASON = "needs the extra s3 and moto's server: make test-ray"
s3fs: Any = pytest.importorskip("s3fs", reason=REASON)
moto: Any = pytest.importorskip("moto.server", reason=REASON)

RATE = 16000


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An empty server, which the environment names."""
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_MAX_ATTEMPTS": "1",
        "NO_PROXY": "127.0.0.1",
    }.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    yield server
    server.stop()
    import_module("moto.backends").get_backend("s3").reset()


@pytest.fixture
def bucket(server: Any) -> Any:
    """A client of the server with a bucket, another than the one that is tested."""
    client = s3fs.S3FileSystem(use_listings_cache=False, skip_instance_cache=True)
    client.mkdir("bucket")
    return client


@pytest.fixture
def talks(bucket: Any, tmp_path: Path, sample_file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of sound and other files, also in the bucket."""
    monkeypatch.chdir(tmp_path)
    folder = Path("talks")
    (folder / "below").mkdir(parents=True)
    samples = load_audio(sample_file, RATE)
    soundfile.write(folder / "a.flac", samples[: 7 * RATE], RATE)
    soundfile.write(folder / "below" / "B.WAV", samples[7 * RATE :], RATE)
    shutil.copy(sample_file, folder / "below" / "c.ogg")
    (folder / "damaged.wav").write_text("no sound")
    (folder / "notes.txt").write_text("no sound")
    (folder / ".hidden.wav").write_text("no sound")
    bucket.put("talks", "bucket/talks", recursive=True)
    return folder


def rows(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def without_places(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows without what differs between a folder and a bucket."""
    rows = [{**row, "path": "", "modified_ns": 0} for row in rows]
    for row in rows:
        if row["type"] == "error":
            row["error"] = row["error"].partition("If it plays")[0]
    text = json.dumps(rows)
    found: list[dict[str, Any]] = json.loads(text.replace("s3://bucket/", ""))
    return found


@pytest.mark.parametrize("engine", ["local", "ray"])
def test_the_rows_are_those_of_the_same_files_in_a_folder(talks: Path, engine: str) -> None:
    if engine == "ray":
        pytest.importorskip("ray", reason=REASON)
    command = ["analyse", "s3://bucket/talks", "--output", "stored.jsonl", "--engine", engine]
    assert main(command) == 1  # There is a damaged file.
    assert main(["analyse", "talks", "--output", "local.jsonl"]) == 1
    assert without_places(rows("stored.jsonl")) == without_places(rows("local.jsonl"))
    files = [row["file"] for row in rows("stored.jsonl") if row["type"] == "file"]
    names = ["a.flac", "below/B.WAV", "below/c.ogg"]
    assert files == [f"s3://bucket/talks/{name}" for name in names]


def test_new_changed_and_deleted_objects_are_noticed(
    talks: Path, bucket: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    bucket.rm("bucket/talks/damaged.wav")
    command = ["analyse", "s3://bucket/talks/", "--output", "results.jsonl", "--baseline", "off"]
    assert main(command) == 0
    bucket.put("talks/a.flac", "bucket/talks/below/B.WAV")
    bucket.rm("bucket/talks/below/c.ogg")
    s3fs.S3FileSystem.clear_instance_cache()
    assert main(command) == 0
    errors = capfd.readouterr().err
    assert "Already done: 1 of 2 files." in errors
    assert "Deleted files removed from the results: 1" in errors
    files = [row["file"] for row in rows("results.jsonl") if row["type"] == "file"]
    assert files == ["s3://bucket/talks/a.flac", "s3://bucket/talks/below/B.WAV"]


def test_what_is_not_there_is_named(talks: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for address in ("s3://bucket/nothing", "s3://nobody/talks"):
        assert main(["analyse", address]) == 2
        assert f"AudioFileError: {address} does not exist" in capfd.readouterr().err


def test_storage_that_cannot_be_reached_is_named(
    server: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    assert main(["analyse", "s3://bucket/talks"]) == 2
    errors = capfd.readouterr().err
    assert "StorageError: s3://bucket/talks cannot be read" in errors
    assert "AWS_ENDPOINT_URL" in errors


def test_a_read_that_fails_is_no_end_of_the_file(bucket: Any, tmp_path: Path) -> None:
    long = tmp_path / "long.wav"
    soundfile.write(long, np.zeros(300 * RATE), RATE)
    bucket.put(str(long), "bucket/long.wav")
    blocks = iter(StoredFile("s3://bucket/long.wav"))
    assert len(next(blocks)) == RATE
    bucket.rm("bucket/long.wav")
    with pytest.raises(AudioFileError, match=r"s3://bucket/long\.wav does not exist"):
        list(blocks)
