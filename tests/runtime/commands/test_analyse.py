"""`emo-listen analyse`: files and folders into one result, which can be continued."""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import audformat
import pytest
import soundfile

from emo_listen import EmotionModel, ProvisionalEvent, listen
from emo_listen.audio import load_audio
from emo_listen.baselines.references import BaselineChoice, ChannelBaselines
from emo_listen.baselines.two_passes import ChannelVoices, FirstPasses
from emo_listen.cli import main
from emo_listen.commands.sound_files import find_sound_files
from emo_listen.commands.workers import analyse_files
from emo_listen.engine import ListenOptions
from emo_listen.events import Emit
from emo_listen.sinks.jsonl import event_row

COMMAND = [sys.executable, "-m", "emo_listen.cli", "analyse"]


@pytest.fixture
def talks(tmp_path: Path, sample_file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two voices, one in a subfolder, a damaged file, and files to be ignored."""
    monkeypatch.chdir(tmp_path)
    folder = Path("talks")
    (folder / "below").mkdir(parents=True)
    samples = load_audio(sample_file, 16000)
    soundfile.write(folder / "a.flac", samples[: 7 * 16000], 16000)
    soundfile.write(folder / "below" / "B.WAV", samples[7 * 16000 :], 16000)
    (folder / "damaged.wav").write_text("no sound")
    (folder / "notes.txt").write_text("no sound")
    (folder / ".hidden.wav").write_text("no sound")
    return folder


def rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def expected(
    file: str, model: EmotionModel, *, two_passes: bool = True, emit: Emit = "segments"
) -> list[dict]:
    """The rows of a file, relative to its voice's baseline if `two_passes`."""
    baseline: BaselineChoice | ChannelBaselines = "off"
    if two_passes:
        first_pass = FirstPasses(model)
        for _ in listen(file, model=model, baseline=first_pass):
            pass
        baseline = ChannelVoices(model, [first_pass])
    return [
        {"type": event.type, "file": file, **event_row(event)}
        for event in listen(file, model=model, baseline=baseline, emit=emit)
        if not isinstance(event, ProvisionalEvent)
    ]


def test_a_folder_is_written_to_one_file(
    talks: Path, bundled_model: EmotionModel, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["analyse", "talks", "--output", "results.jsonl", "--jobs", "2"]) == 1
    header, *found = rows(Path("results.jsonl"))
    assert header["type"] == "analysis"
    assert header["model"] == bundled_model.name
    assert header["sha256"] == bundled_model.settings.sha256["onnx/model_quantized.onnx"]
    of_a, of_b = (expected(f, bundled_model) for f in ("talks/a.flac", "talks/below/B.WAV"))
    assert len(of_a) > 0 and len(of_b) > 0
    assert [row for row in found if row["type"] not in ("file", "error")] == of_a + of_b
    closings = [row for row in found if row["type"] in ("file", "error")]
    assert [row["file"] for row in closings] == [
        "talks/a.flac",
        "talks/below/B.WAV",
        "talks/damaged.wav",
    ]
    assert closings[0]["seconds"] == 7
    assert closings[0]["size"] == os.path.getsize("talks/a.flac")
    assert "talks/damaged.wav cannot be decoded as audio" in closings[2]["error"]
    output = capfd.readouterr()
    assert "talks/damaged.wav cannot be decoded as audio" in output.err
    assert "Files: 3 analysed, 1 failed; 0.3 minutes of sound" in output.err
    assert output.out == ""
    assert sorted(os.listdir()) == ["results.jsonl", "talks"]


def test_segments_before_the_damage_are_kept(
    tmp_path: Path, sample_file: Path, bundled_model: EmotionModel
) -> None:
    whole, damaged = tmp_path / "whole.flac", tmp_path / "damaged.flac"
    soundfile.write(whole, load_audio(sample_file, 16000), 16000)
    content = bytearray(whole.read_bytes())
    middle = len(content) * 7 // 10
    content[middle : middle + 3000] = bytes(3000)
    damaged.write_bytes(content)
    results = tmp_path / "results.jsonl"
    command = ["analyse", str(damaged), "--output", str(results), "--baseline", "off"]
    assert main(command) == 1
    _, *segments, error = rows(results)
    assert error["type"] == "error" and f"{damaged} is damaged" in error["error"]
    assert len(segments) >= 2
    of_whole = expected(str(whole), bundled_model, two_passes=False)[: len(segments)]
    assert segments == [{**row, "file": str(damaged)} for row in of_whole]


def test_files_already_analysed_are_skipped(
    talks: Path, capfd: pytest.CaptureFixture[str], sample_file: Path
) -> None:
    (talks / "damaged.wav").unlink()
    command = ["analyse", "talks", "--output", "results.jsonl", "--jobs", "1"]
    assert main(command) == 0
    first = Path("results.jsonl").read_bytes()
    assert main(command) == 0
    assert Path("results.jsonl").read_bytes() == first
    assert "Already done: 2 of 2 files." in capfd.readouterr().err

    # Changed and new files are analysed.
    soundfile.write(talks / "a.flac", load_audio(sample_file, 16000)[: 4 * 16000], 16000)
    shutil.copy(talks / "a.flac", talks / "z.flac")
    assert main(command) == 0
    assert "Already done: 1 of 3 files." in capfd.readouterr().err
    found = rows(Path("results.jsonl"))
    assert [(r["file"], r["seconds"]) for r in found if r["type"] == "file"] == [
        ("talks/a.flac", 4),
        ("talks/below/B.WAV", pytest.approx(soundfile.info("talks/below/B.WAV").duration)),
        ("talks/z.flac", 4),
    ]
    ends = [row["end"] for row in found[1:] if row["file"] == "talks/a.flac" and "end" in row]
    assert 0 < max(ends) <= 4


def test_results_with_other_options_and_other_files_are_refused(
    talks: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    command = ["analyse", "talks/a.flac", "--output", "results.jsonl"]
    assert main(command) == 0
    before = Path("results.jsonl").read_bytes()
    assert main([*command, "--emit", "windows"]) == 2
    assert "results.jsonl was written with another emit" in capfd.readouterr().err
    assert Path("results.jsonl").read_bytes() == before
    for name in ("mine.jsonl", "mine.csv"):
        Path(name).write_text("mine\n")
        assert main(["analyse", "talks/a.flac", "--output", name]) == 2
        assert f"OutputError: {name} " in capfd.readouterr().err
        assert Path(name).read_text() == "mine\n"


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_an_interrupted_run_continues(talks: Path, sample_file: Path, end: signal.Signals) -> None:
    samples = load_audio(sample_file, 16000)[: 2 * 16000]
    for number in range(24):
        soundfile.write(talks / f"copy{number:02d}.flac", samples, 16000)
    command = [*COMMAND, "talks", "--output", "results.jsonl", "--jobs", "1"]
    results = Path("results.jsonl")
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        while not results.exists() or results.read_bytes().count(b'{"type": "file"') < 2:
            assert process.poll() is None
            time.sleep(0.005)
        process.send_signal(end)
        errors = process.communicate(timeout=120)[1]
    if end == signal.SIGINT:
        assert process.returncode == 130
        assert "Run the same command again to continue." in errors
        assert "Traceback" not in errors
    done = results.read_bytes().count(b'{"type": "file"')
    assert 2 <= done < 26
    with results.open("a") as file:
        file.write('{"type": "segment", "file": "talks/copy')  # An incomplete line.
    again = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert again.returncode == 1  # There is a damaged file.
    assert f"Already done: {done} of 27 files." in again.stderr
    assert main(["analyse", "talks", "--output", "at_once.jsonl", "--jobs", "2"]) == 1
    assert rows(results) == rows(Path("at_once.jsonl"))


def test_a_crash_fails_only_one_file(tmp_path: Path, sample_file: Path) -> None:
    files = []
    for number in range(3):
        files.append(str(shutil.copy(sample_file, tmp_path / f"{number}.ogg")))
    finished: dict[str, str | None] = {}
    reports = analyse_files(
        [[file] for file in files], model=None, options=ListenOptions(), jobs=1, folder=tmp_path
    )
    for report in reports:
        if not finished and not report.done:
            (worker,) = multiprocessing.active_children()
            worker.kill()
        if report.done:
            finished[report.file] = report.error
    assert list(finished) == files
    assert finished[files[0]] == "analysing it crashed (exit code -9)"
    assert [finished[file] for file in files[1:]] == [None, None]
    assert not multiprocessing.active_children()


def test_csv_has_a_row_for_each_segment_and_error(talks: Path, bundled_model: EmotionModel) -> None:
    assert main(["analyse", "talks", "--output", "results.csv", "--emit", "windows"]) == 1
    with open("results.csv", newline="") as file:
        found = list(csv.DictReader(file))
    windows = expected("talks/a.flac", bundled_model, emit="windows")
    for row, window in zip(found, windows, strict=False):
        assert (row["file"], row["label"], row["error"]) == ("talks/a.flac", window["label"], "")
        assert float(row["end"]) == window["end"]
        assert {label: float(row[label]) for label in window["scores"]} == window["scores"]
    assert found[-1]["file"] == "talks/damaged.wav"
    assert "cannot be decoded" in found[-1]["error"] and found[-1]["label"] == ""


def test_audformat_is_a_database_of_all_files(talks: Path, bundled_model: EmotionModel) -> None:
    assert main(["analyse", "talks", "--output", "database"]) == 1
    table = audformat.Database.load("database")["emotion"]
    assert set(table.files) == {"talks/a.flac", "talks/below/B.WAV"}
    files = ("talks/a.flac", "talks/below/B.WAV")
    labels = [row["label"] for file in files for row in expected(file, bundled_model)]
    assert table["label"].get().tolist() == labels


def test_sound_files_are_found_once(talks: Path) -> None:
    assert find_sound_files(["talks", "talks/a.flac", "talks/../talks/notes.txt"])[0] == [
        "talks/a.flac",
        "talks/damaged.wav",
        "talks/below/B.WAV",
        "talks/notes.txt",  # Given by name, so the suffix does not matter.
    ]


def test_the_missing_extra_of_an_engine_is_named(
    talks: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "emo_listen.commands.ray_workers", raising=False)
    assert main(["analyse", "talks", "--engine", "ray", "--output", "results.jsonl"]) == 2
    errors = capfd.readouterr().err
    assert "MissingExtraError: ray is not installed" in errors and "emo-listen[ray]" in errors
    assert not Path("results.jsonl").exists()


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("s3://bucket/talks", "MissingExtraError: s3fs is not installed: run `pip install 'emo-l"),
        ("https://host/a.wav", "AudioFileError: https://host/a.wav cannot be read: give a path"),
    ],
)
def test_addresses_that_cannot_be_read_are_refused(
    address: str,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    assert main(["analyse", address]) == 2
    assert message in capfd.readouterr().err


@pytest.mark.corpus
def test_real_speech_in_parallel(
    shared_dir: Path, tmp_path: Path, bundled_model: EmotionModel
) -> None:
    clips = sorted((shared_dir / "crema-d" / "audio").glob("1002_*_HAP_*"))[:4]
    results = tmp_path / "results.jsonl"
    assert main(["analyse", *map(str, clips), "--output", str(results), "--jobs", "2"]) == 0
    found = [row for row in rows(results)[1:] if row["type"] != "file"]
    assert found == [row for clip in clips for row in expected(str(clip), bundled_model)]
