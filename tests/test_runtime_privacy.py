"""Nothing leaves: the system calls of `emo-listen`, and of what it is compared with."""

from __future__ import annotations

import ast
import contextlib
import functools
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

import emo_listen
from emo_listen.audio import load_audio
from emo_listen.telemetry import OPT_OUTS

SECONDS = 12
"""How long onnxruntime is watched; it looks its maker's host up 9 s after its import."""

EMO_LISTEN = [sys.executable, "-m", "emo_listen.cli"]

CALLS = "network,openat,creat,mkdir,mkdirat,rename,renameat,renameat2,link,linkat,symlink,symlinkat"

# Without interfaces but loopback, so that nothing is sent even where a test fails.
ISOLATED = ["unshare", "-rn", "sh", "-c", 'ip link set lo up 2>/dev/null; exec "$@"', "sh"]


def works(*command: str) -> bool:
    with contextlib.suppress(OSError):
        return subprocess.run(command, capture_output=True).returncode == 0
    return False


@functools.cache
def isolation() -> tuple[str, ...]:
    return tuple(ISOLATED) if works(*ISOLATED, "true") else ()


def clean_environment(home: Path) -> dict[str, str]:
    """What a user's shell has, without variables that turn telemetry off."""
    home.mkdir()
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "TMPDIR": str(home),
        "PYTHONPATH": str(Path(emo_listen.__file__).parents[1]),
        "PYTHONDONTWRITEBYTECODE": "1",  # Byte code is Python's to keep.
    }


@contextlib.contextmanager
def traced(folder: Path, *command: str | Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run in the new `folder`, which gets `calls` and an empty `home`, until it ends."""
    folder.mkdir()
    strace = ["strace", "-f", "-s", "0", "-e", f"trace={CALLS}", "-o", str(folder / "calls")]
    with subprocess.Popen(
        [*isolation(), *strace, *map(str, command)],
        cwd=folder,
        env=clean_environment(folder / "home"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        yield process
        output = process.communicate()
        assert process.returncode == 0, output


def network_calls(folder: Path) -> list[str]:
    """Lines of the trace that name an address on the internet, loopback left out."""
    lines = (folder / "calls").read_text().splitlines()
    found = [line for line in lines if re.search(r"AF_INET|sun_path", line)]
    return [line for line in found if not re.search(r'socket\(|"127\.0\.0\.1"|"::1"', line)]


def sockets(folder: Path) -> list[str]:
    return [line for line in (folder / "calls").read_text().splitlines() if "socket(" in line]


def written(folder: Path) -> set[str]:
    """Paths that were opened for writing, made or renamed, as the calls name them."""
    paths = set()
    for line in (folder / "calls").read_text().splitlines():
        call = re.search(r"\b(openat|creat|mkdir\w*|rename\w*|link\w*|symlink\w*)\(", line)
        reading = call and call[1] == "openat" and not re.search(r"O_(WRONLY|RDWR|CREAT)", line)
        if call and not reading:
            paths |= set(re.findall(r'"([^"]*)"', line))
    return paths - {"/dev/null"}


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory, sample_file: Path) -> Path:
    """Folders with the calls of a pipe, a file and an analysis, and of onnxruntime alone."""
    if not works("strace", "-o", os.devnull, "true"):
        pytest.skip("needs strace, and leave to use it")
    folder = tmp_path_factory.mktemp("traces")
    samples = load_audio(sample_file, 16000)
    recordings = folder / "recordings"
    recordings.mkdir()
    soundfile.write(recordings / "short.wav", samples, 16000)
    soundfile.write(folder / "long.wav", np.tile(samples, 8), 16000)
    plain = f"import onnxruntime, time; time.sleep({SECONDS})"
    many_lines = ["--emit", "windows", "--no-vad", "--window", "0.2", "--hop", "0.05"]
    with (
        traced(folder / "plain", sys.executable, "-c", plain) as onnxruntime_alone,
        traced(
            folder / "pipe",
            *EMO_LISTEN,
            *["--device", "-", "--record-labels", "labels.jsonl", "--osc", "127.0.0.1:9000"],
        ) as pipe,
        # Its lines fill the pipe that nobody reads, and it waits.
        traced(folder / "file", *EMO_LISTEN, "--device", folder / "long.wav", *many_lines),
        traced(
            folder / "analyse",
            *EMO_LISTEN,
            *["analyse", str(recordings), "--output", str(folder / "results.csv")],
        ),
    ):
        assert pipe.stdin
        pipe.stdin.write(np.round(samples * 32767).astype("<i2").tobytes())
        pipe.stdin.flush()
        onnxruntime_alone.wait()
    return folder


@pytest.mark.skipif(not isolation(), reason="needs a network namespace, lest it send something")
def test_the_trace_shows_telemetry_where_it_is_on(traces: Path) -> None:
    import onnxruntime

    if tuple(map(int, onnxruntime.__version__.split(".")[:2])) < (1, 29):
        pytest.skip("this onnxruntime has no telemetry")
    assert network_calls(traces / "plain")
    assert any("onnxruntime.db" in path for path in written(traces / "plain"))
    assert list((traces / "plain" / "home").iterdir())


@pytest.mark.parametrize("run", ["pipe", "file", "analyse"])
def test_nothing_is_sent_and_the_home_stays_empty(traces: Path, run: str) -> None:
    assert network_calls(traces / run) == []
    assert list((traces / run / "home").iterdir()) == []


def test_only_an_option_opens_a_socket_or_a_file(traces: Path) -> None:
    assert len(sockets(traces / "pipe")) == 1  # OSC's
    assert written(traces / "pipe") == {"labels.jsonl"}
    assert sockets(traces / "file") == []
    assert written(traces / "file") == set()
    # Events are kept in the folder for temporary files until all are there.
    allowed = (f"{traces}/results.csv", f"{traces}/analyse/home/")
    assert all(path.startswith(allowed) for path in written(traces / "analyse"))


def test_every_script_imports_emo_listen_first(repository: Path) -> None:
    for folder in ("train", "export", "benchmarks"):
        for script in (repository / folder).glob("*.py"):
            text = script.read_text()
            if '__name__ == "__main__"' in text:
                foreign = (m for m in imported(text) if m not in sys.stdlib_module_names)
                assert next(foreign) == "emo_listen", script


def imported(code: str) -> Iterator[str]:
    """Top-level names of the modules that `code` imports, in order."""
    for node in ast.parse(code).body:
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield (node.module or "").partition(".")[0]


def test_a_script_of_the_clone_leaves_nothing_in_the_home(repository: Path, tmp_path: Path) -> None:
    command = [*isolation(), sys.executable, str(repository / "export" / "to_onnx.py"), "--help"]
    environment = clean_environment(tmp_path / "home")
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert list((tmp_path / "home").rglob("*onnxruntime*")) == []


def test_the_settings_are_in_the_environment() -> None:
    assert {name: os.environ[name] for name in OPT_OUTS} == OPT_OUTS


@pytest.mark.skipif(not isolation(), reason="needs a network namespace, lest it send something")
@pytest.mark.parametrize("opted_out", [False, True])
def test_onnxruntime_imported_earlier_is_told(tmp_path: Path, opted_out: bool) -> None:
    environment = clean_environment(tmp_path / "home")
    if opted_out:
        environment["ORT_DISABLE_TELEMETRY"] = "1"
    command = [*isolation(), sys.executable, "-c", "import onnxruntime, emo_listen"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert result.returncode == 0
    assert ("import emo_listen first" in result.stderr) != opted_out
