"""Downloads of corpora, from a stand-in on loopback for their owners' places."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from emo_listen.errors import DownloadError, OutputError
from tests.support.stand_in_server import serve
from train import get_crema_d, get_emo_db, get_esc_10, get_librispeech
from train.corpus import download
from train.corpus.download import RemoteFile
from train.corpus.load import load_corpus

CONTENT = np.random.default_rng(0).bytes(1_000_000)
SHA256 = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"


@pytest.fixture
def server():
    with serve() as server:
        server.files["/file"] = CONTENT
        yield server


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr(download, "PAUSE", 0.0)


def sound(seed: int) -> bytes:
    """A WAV file of half a second."""
    file = io.BytesIO()
    samples = np.random.default_rng(seed).normal(0, 0.1, 8_000)
    soundfile.write(file, samples, 16_000, format="WAV")
    return file.getvalue()


def remote(server, path: Path, **known) -> RemoteFile:
    return RemoteFile(f"{server.url}/file", path, **{"digest": SHA256, **known})


@pytest.mark.parametrize("size", [None, len(CONTENT)])
def test_an_interrupted_transfer_goes_on_from_its_last_byte(server, tmp_path, size):
    server.cut_after["/file"] = [300_000, 400_000]
    seen: list[int] = []
    download.download(remote(server, tmp_path / "a" / "file", size=size), seen.append)
    assert (tmp_path / "a" / "file").read_bytes() == CONTENT
    assert sum(seen) == len(CONTENT)
    assert server.asked == [
        ("/file", None),
        ("/file", "bytes=300000-"),
        ("/file", "bytes=700000-"),
    ]
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["file"]


def test_a_stopped_run_is_continued_by_the_next(server, tmp_path):
    server.cut_after["/file"] = [100_000] * download.TRIES
    with pytest.raises(DownloadError, match=r"after 5 attempts.*500,000 of 1,000,000.*resumes"):
        download.download(remote(server, tmp_path / "file"))
    assert not (tmp_path / "file").exists()
    server.asked.clear()
    download.download(remote(server, tmp_path / "file"))
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert server.asked == [("/file", "bytes=500000-")]
    download.download(remote(server, tmp_path / "file"))
    assert len(server.asked) == 1  # what is there is not fetched again


def test_a_file_with_another_hash_is_refused_and_not_kept(server, tmp_path):
    server.files["/file"] = CONTENT[:-1] + b"!"
    with pytest.raises(DownloadError, match="does not have the size and hash"):
        download.download(remote(server, tmp_path / "file"))
    assert list(tmp_path.iterdir()) == []
    server.files["/file"] = CONTENT[:-1]
    with pytest.raises(DownloadError, match="does not have the size and hash"):
        download.download(remote(server, tmp_path / "file"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("length", [1000, len(CONTENT), len(CONTENT) + 1])
def test_what_an_earlier_run_left_of_another_file_is_dropped(server, tmp_path, length):
    (tmp_path / "file.part").write_bytes(b"x" * length)
    download.download(remote(server, tmp_path / "file"))
    assert (tmp_path / "file").read_bytes() == CONTENT
    (tmp_path / "file").write_bytes(b"damaged")
    download.download(remote(server, tmp_path / "file"))
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_server_without_ranges_begins_anew(server, tmp_path):
    server.ranges = False
    server.cut_after["/file"] = [300_000]
    seen: list[int] = []
    download.download(remote(server, tmp_path / "file"), seen.append)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert sum(seen) == len(CONTENT)


def test_a_busy_server_is_asked_again_and_a_refusal_is_told(server, tmp_path):
    server.answers["/file"] = [429, 503]
    download.download(remote(server, tmp_path / "file"))
    assert len(server.asked) == 3
    with pytest.raises(DownloadError, match="/absent cannot be downloaded: 404 Not Found"):
        download.fetch(f"{server.url}/absent")
    assert len(server.asked) == 4


def test_without_a_network_the_error_says_what_to_do(tmp_path, monkeypatch, capsys):
    with serve() as gone:
        pass
    monkeypatch.setattr(get_crema_d, "RAW", gone.url)
    assert get_crema_d.main(["--output", str(tmp_path / "crema-d")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: http://127.0.0.1:")
    assert "Check the network, and run the command again" in error
    assert "Traceback" not in error


def test_a_place_that_cannot_be_written_is_told_as_such(server, tmp_path):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(OutputError, match="cannot be written"):
        download.download(remote(server, tmp_path / "taken" / "file"))


@pytest.fixture
def crema_d(server, monkeypatch):
    """Three clips in a repository that keeps them with git-lfs."""
    names = ["1001_IEO_ANG_HI", "1002_ITH_SAD_X", "1005_DFA_HAP_XX"]
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerows([["", "FileName", "VoiceVote"], *([i, n, "A"] for i, n in enumerate(names))])
    server.files["/raw/processedResults/summaryTable.csv"] = table.getvalue().encode()
    server.files["/raw/VideoDemographics.csv"] = b"ActorID,Age\n1001,51\n"
    for i, name in enumerate(names):
        clip = sound(i)
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{{}}\nsize {len(clip)}\n"
        server.files[f"/media/AudioWAV/{name}.wav"] = clip
        server.files[f"/raw/AudioWAV/{name}.wav"] = pointer.format(
            hashlib.sha256(clip).hexdigest()
        ).encode()
    monkeypatch.setattr(get_crema_d, "RAW", f"{server.url}/raw")
    monkeypatch.setattr(get_crema_d, "MEDIA", f"{server.url}/media")
    monkeypatch.setattr(get_crema_d, "CLIPS", len(names))
    return names


def test_crema_d_is_ready_to_be_trained_on(server, crema_d, tmp_path, capsys):
    folder = tmp_path / "crema-d"
    assert get_crema_d.main(["--output", str(folder)]) == 0
    assert capsys.readouterr().out == f"{folder}: 3 clips\n"
    corpus = load_corpus(str(folder))
    assert [Path(name).stem for name in corpus["name"]] == crema_d
    assert corpus["split"][:] == ["test", "train", "train"]
    assert (folder / "splits.csv").is_file()
    assert (folder / "VideoDemographics.csv").is_file()
    (folder / "AudioWAV" / f"{crema_d[1]}.wav").unlink()
    server.asked.clear()
    assert get_crema_d.main(["--output", str(folder)]) == 0
    assert [path for path, _ in server.asked] == [
        f"/{place}/AudioWAV/{crema_d[1]}.wav" for place in ("raw", "media")
    ]


def test_crema_d_with_a_damaged_or_missing_clip_is_refused(
    server, crema_d, tmp_path, monkeypatch, capsys
):
    server.files[f"/media/AudioWAV/{crema_d[0]}.wav"] = sound(99)
    assert get_crema_d.main(["--output", str(tmp_path)]) == 2
    assert f"{crema_d[0]}.wav does not have the size and hash" in capsys.readouterr().err
    monkeypatch.setattr(get_crema_d, "CLIPS", 7442)
    assert get_crema_d.main(["--output", str(tmp_path)]) == 2
    assert "Found 3 clips in processedResults/summaryTable.csv, expected 7,442" in (
        capsys.readouterr().err
    )


def test_esc_10_is_taken_out_of_esc_50(server, tmp_path, monkeypatch, capsys):
    rows = [
        ("1-100-A-0.wav", "1", "dog", "True", "100", "A"),
        ("4-7-B-10.wav", "4", "rain", "True", "7", "B"),
        ("2-8-A-36.wav", "2", "vacuum_cleaner", "False", "8", "A"),
    ]
    heading = "filename,fold,category,esc10,src_file,take"
    server.files["/meta/esc50.csv"] = "\n".join([heading, *map(",".join, rows)]).encode()
    tree = []
    for i, row in enumerate(rows):
        clip = sound(i)
        server.files[f"/audio/{row[0]}"] = clip
        sha = hashlib.sha1(f"blob {len(clip)}\0".encode() + clip).hexdigest()
        tree.append({"path": f"audio/{row[0]}", "sha": sha, "size": len(clip)})
    server.files["/tree"] = json.dumps({"tree": tree}).encode()
    monkeypatch.setattr(get_esc_10, "RAW", server.url)
    monkeypatch.setattr(get_esc_10, "TREE", f"{server.url}/tree")
    monkeypatch.setattr(get_esc_10, "RECORDINGS", 2)
    assert get_esc_10.main(["--output", str(tmp_path)]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"dog_bark-1-100-A.wav", "rain-4-7-B.wav"}
    assert (tmp_path / "dog_bark-1-100-A.wav").read_bytes() == sound(0)
    (tmp_path / "rain-4-7-B.wav").unlink()
    server.files["/audio/4-7-B-10.wav"] = sound(9)
    assert get_esc_10.main(["--output", str(tmp_path)]) == 2
    assert "4-7-B-10.wav does not have the size and hash" in capsys.readouterr().err


def test_librispeech_is_unpacked_where_the_loader_finds_it(server, tmp_path, monkeypatch, capsys):
    flac = io.BytesIO()
    soundfile.write(flac, np.full(8_000, 0.1), 16_000, format="FLAC")
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as opened:
        for i in range(3):
            member = tarfile.TarInfo(f"LibriSpeech/test-other/1688/142285/1688-142285-000{i}.flac")
            member.size = len(flac.getvalue())
            opened.addfile(member, io.BytesIO(flac.getvalue()))
    content = archive.getvalue()
    server.files["/12/test-other.tar.gz"] = content
    known = (12, len(content), hashlib.md5(content).hexdigest())
    monkeypatch.setattr(get_librispeech, "OPENSLR", server.url)
    monkeypatch.setitem(get_librispeech.SUBSETS, "test-other", known)
    command = ["--output", str(tmp_path), "--subsets", "test-other"]
    server.cut_after["/12/test-other.tar.gz"] = [100]
    for _ in range(2):
        assert get_librispeech.main(command) == 0
        assert "test-other (3 clips)" in capsys.readouterr().out
    assert len(server.asked) == 2  # cut, and continued; the second run asks for nothing
    assert [path.name for path in tmp_path.iterdir()] == ["LibriSpeech"]
    corpus = load_corpus(str(tmp_path))
    assert corpus["split"][:] == ["test"] * 3
    damaged = (12, len(content), "0" * 32)
    monkeypatch.setitem(get_librispeech.SUBSETS, "dev-clean", damaged)
    server.files["/12/dev-clean.tar.gz"] = content
    assert get_librispeech.main(["--output", str(tmp_path), "--subsets", "dev-clean"]) == 2
    assert "does not have the size and hash" in capsys.readouterr().err


def test_emo_db_is_taken_out_of_its_archive(server, tmp_path, monkeypatch, capsys):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        for name in ("03a01Wa", "16a05La"):
            opened.writestr(f"emodb/wav/{name}.wav", sound(0))
        opened.writestr("emodb/db.yaml", "name: emodb")
    server.files["/emodb.zip"] = archive.getvalue()
    monkeypatch.setattr(get_emo_db, "ARCHIVE", f"{server.url}/emodb.zip?download=1")
    monkeypatch.setattr(get_emo_db, "MD5", hashlib.md5(archive.getvalue()).hexdigest())
    monkeypatch.setattr(get_emo_db, "CLIPS", 2)
    for _ in range(2):
        assert get_emo_db.main(["--output", str(tmp_path)]) == 0
    assert len(server.asked) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["wav"]
    corpus = load_corpus(str(tmp_path))
    assert (corpus["label"][:], corpus["split"][:]) == (["anger"], ["validation"])
    monkeypatch.setattr(get_emo_db, "CLIPS", 535)
    assert get_emo_db.main(["--output", str(tmp_path)]) == 2
    assert "Found 2 clips in emodb.zip, expected 535" in capsys.readouterr().err
