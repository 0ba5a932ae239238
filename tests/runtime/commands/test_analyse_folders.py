"""`emo-listen analyse` on messy folders: links, pipes, odd names, code, earlier results."""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import audformat
import pytest
import soundfile

import emo_listen
from emo_listen.audio import load_audio
from emo_listen.cli import main
from emo_listen.commands import workers
from emo_listen.commands.sound_files import find_sound_files
from emo_listen.engine import ListenOptions
from emo_listen.errors import OutputError

RATE = 16000


@pytest.fixture
def talk(tmp_path: Path, sample_file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`talks/a.wav`, three seconds of speech, in a new current folder."""
    monkeypatch.chdir(tmp_path)
    Path("talks").mkdir()
    path = Path("talks/a.wav")
    soundfile.write(path, load_audio(sample_file, RATE)[: 3 * RATE], RATE)
    return path


def rows(path: str) -> list[dict]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def closings(path: str) -> dict[str, str]:
    """`file` or the error, for each file."""
    found = rows(path)
    return {r["file"]: r.get("error", "file") for r in found if r["type"] in ("file", "error")}


@pytest.fixture
def odd_entries(talk: Path) -> Path:
    """Add broken and circular links, a FIFO and a socket to the folder."""
    folder = talk.parent
    (folder / "broken.wav").symlink_to("nowhere.wav")
    (folder / "loop.wav").symlink_to("loop.wav")
    (folder / "also_a.wav").symlink_to("a.wav")
    (folder / "around").symlink_to("..")
    (folder / "folder.wav").mkdir()
    os.mkfifo(folder / "pipe.wav")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "socket.wav"))
    return folder


def test_odd_entries_fail_alone(odd_entries: Path) -> None:
    assert main(["analyse", "talks", "--output", "results.jsonl", "--jobs", "1"]) == 1
    assert closings("results.jsonl") == {
        "talks/a.wav": "file",
        "talks/broken.wav": "talks/broken.wav is a link to a file that does not exist",
        "talks/loop.wav": "talks/loop.wav cannot be opened: Too many levels of symbolic links",
    }


def test_odd_entries_given_by_name_are_reported(odd_entries: Path) -> None:
    named = [f"talks/{name}.wav" for name in ("pipe", "socket", "broken", "a")]
    assert main(["analyse", *named, "--output", "results.jsonl", "--jobs", "1"]) == 1
    found = closings("results.jsonl")
    assert found["talks/a.wav"] == "file"
    for name in ("pipe", "socket"):
        reason = f"talks/{name}.wav is a pipe, a socket or a device, not a file"
        assert found[f"talks/{name}.wav"].startswith(reason)


def test_an_unreadable_folder_is_reported(
    talk: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    locked = talk.parent / "locked"
    locked.mkdir()
    scandir = os.scandir

    def refuse(path: object) -> object:
        if str(path).endswith("locked"):  # Permissions do not stop root.
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)  # type: ignore[call-overload]

    monkeypatch.setattr(os, "scandir", refuse)
    assert find_sound_files(["talks"]) == (
        ["talks/a.wav"],
        {"talks/locked": "cannot be read: Permission denied"},
    )
    assert main(["analyse", "talks", "--output", "results.jsonl", "--jobs", "1"]) == 1
    error = "talks/locked cannot be read: Permission denied"
    assert closings("results.jsonl") == {"talks/a.wav": "file", "talks/locked": error}
    assert error in capfd.readouterr().err.splitlines()


def test_a_file_deleted_during_the_run_fails_alone(
    talk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(talk, "talks/b.wav")
    start = multiprocessing.get_context("spawn").Process.start

    def delete_and_start(process: object) -> None:
        Path("talks/b.wav").unlink()
        start(process)  # type: ignore[arg-type]

    monkeypatch.setattr(multiprocessing.get_context("spawn").Process, "start", delete_and_start)
    assert main(["analyse", "talks", "--output", "results.jsonl", "--jobs", "1"]) == 1
    assert closings("results.jsonl") == {
        "talks/a.wav": "file",
        "talks/b.wav": "talks/b.wav is not a file: check the path",
    }


def test_code_in_the_current_folder_is_not_run(talk: Path) -> None:
    folder = talk.parent
    for name in ("org", "signal", "struct", "json", "numpy", "emo_listen", "sitecustomize"):
        code = f"open('{name}.was_run', 'w').close(); raise SystemExit(7)"
        (folder / f"{name}.py").write_text(code)
    # Like the command that pip installs: the folder of a script is first on its import path.
    script = folder.resolve().parent / "bin" / "emo-listen"
    script.parent.mkdir()
    script.write_text(
        "import sys\nfrom emo_listen.cli import main\n"
        "if __name__ == '__main__':\n    sys.exit(main())\n"
    )
    package = Path(emo_listen.__file__).resolve().parents[1]
    result = subprocess.run(
        [sys.executable, script, "analyse", "a.wav"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(package)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert list(folder.glob("*.was_run")) == []
    assert result.returncode == 0, result.stderr
    assert [json.loads(line)["type"] for line in result.stdout.splitlines()][-1] == "file"


def test_without_output_results_go_to_standard_output(
    talk: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    Path("talks/text.wav").write_text("no sound")
    assert main(["analyse", "talks", "--jobs", "1"]) == 1
    found = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert os.listdir() == ["talks"]
    assert main(["analyse", "talks", "--jobs", "1", "--output", "results.jsonl"]) == 1
    filed = [{k: v for k, v in row.items() if k != "path"} for row in rows("results.jsonl")]
    assert found == filed
    assert [row["type"] for row in found] == ["analysis", "segment", "file", "error"]


def test_a_closed_pipe_is_not_an_error(talk: Path) -> None:
    for number in range(4):
        shutil.copy(talk, f"talks/{number}.wav")
    line = f"{sys.executable} -m emo_listen.cli analyse talks --jobs 1 | head -n 1"
    package = Path(emo_listen.__file__).resolve().parents[1]
    result = subprocess.run(
        ["bash", "-o", "pipefail", "-c", line],
        env={**os.environ, "PYTHONPATH": str(package)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert json.loads(result.stdout)["type"] == "analysis"
    assert "Traceback" not in result.stderr and "Error" not in result.stderr
    assert result.returncode == 0


def test_a_file_by_two_names_is_one_row(talk: Path, tmp_path: Path) -> None:
    command = ["--output", "results.csv", "--jobs", "1"]
    (tmp_path / "link").symlink_to("talks")
    assert main(["analyse", "talks", str(talk.resolve()), "link/a.wav", *command]) == 0
    first = Path("results.csv").read_bytes()
    assert main(["analyse", str(talk.resolve()), *command]) == 0
    assert Path("results.csv").read_bytes() == first
    # Once changed, it replaces its old row under the new name.
    os.utime(talk, (0, 0))
    assert main(["analyse", str(talk.resolve()), *command]) == 0
    assert main(["analyse", str(talk.resolve()), *command]) == 0
    with open("results.csv", newline="") as file:
        assert {row["file"] for row in csv.DictReader(file)} == {str(talk.resolve())}


@pytest.mark.parametrize("output", ["results.csv", "results.jsonl", "database"])
def test_deleted_files_are_removed_from_the_results(
    talk: Path, output: str, capfd: pytest.CaptureFixture[str]
) -> None:
    Path("others").mkdir()
    for name in ("talks/b.wav", "others/c.wav"):
        shutil.copy(talk, name)
    command = ["analyse", "--output", output, "--jobs", "1", "talks"]
    assert main([*command, "others"]) == 0
    Path("talks/b.wav").unlink()
    shutil.rmtree("others")  # As if its disk were not mounted.
    assert main(command) == 0
    assert "Deleted files removed from the results: 1" in capfd.readouterr().err
    if output == "database":
        files = set(audformat.Database.load(output)["emotion"].files)
    elif output == "results.csv":
        with open(output, newline="") as file:
            files = {row["file"] for row in csv.DictReader(file)}
    else:
        files = set(closings(output))
    assert files == {"talks/a.wav", "others/c.wav"}


def test_names_that_are_not_utf_8_are_written(
    talk: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    name = os.fsdecode(b"talks/caf\xe9.wav")
    talk.rename(name)
    Path(os.fsdecode(b"talks/na\xefve.wav")).write_text("no sound")
    for output in ("results.jsonl", "results.csv", "database"):
        assert main(["analyse", "talks", "--output", output, "--jobs", "1"]) == 1
        assert main(["analyse", "talks", "--output", output, "--jobs", "1"]) == 1
        assert "Already done: 1 of 2 files." in capfd.readouterr().err
    assert name in closings("results.jsonl")
    assert b"\ntalks/caf\xe9.wav,0" in Path("results.csv").read_bytes()
    table = audformat.Database.load("database")["emotion"]
    assert set(table.files) == {"talks/caf\\xe9.wav"}
    assert main(["analyse", "talks", "--jobs", "1"]) == 1
    assert '"talks/caf\\udce9.wav"' in capfd.readouterr().out


def test_a_write_error_is_not_blamed_on_the_sound_file(talk: Path, tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    reports = workers.analyse_files(
        [[str(talk)]], model=None, options=ListenOptions(), jobs=1, folder=tmp_path / "absent"
    )
    with pytest.raises(OutputError, match="absent cannot be written: No such file or directory"):
        list(reports)


def test_a_stalled_process_fails_only_one_file(
    talk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [str(shutil.copy(talk, f"talks/{number}.wav")) for number in range(2)]
    errors: dict[str, str | None] = {}
    for report in workers.analyse_files(
        [[f] for f in files], model=None, options=ListenOptions(), jobs=1, folder=tmp_path
    ):
        if report.done:
            errors[report.file] = report.error
        elif not errors:
            (process,) = multiprocessing.active_children()
            assert process.pid
            os.kill(process.pid, signal.SIGSTOP)
            monkeypatch.setattr(workers, "STALLED_SECONDS", 0.1)
        if errors:
            monkeypatch.setattr(workers, "STALLED_SECONDS", 100.0)
    assert errors == {files[0]: "no progress for 0 s", files[1]: None}
