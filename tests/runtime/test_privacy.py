"""Nothing leaves: the system calls of `emo-listen`, and of what it is compared with.

Where strace cannot be had, the commands run in a network namespace that has no interface but
loopback, and what they leave behind is looked at.
"""

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


@functools.cache
def strace_works() -> bool:
    return works("strace", "-o", os.devnull, "true")


needs_strace = pytest.mark.skipif(not strace_works(), reason="needs strace, and leave to use it")


def clean_environment(home: Path) -> dict[str, str]:
    """What a user's shell has, without variables that turn telemetry off."""
    home.mkdir()
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "TMPDIR": str(home),
        "PYTHONPATH": os.pathsep.join(map(str, Path(emo_listen.__file__).parents[1:3])),
        "PYTHONDONTWRITEBYTECODE": "1",  # Byte code is Python's to keep.
    }


@contextlib.contextmanager
def watched(
    folder: Path, *command: str | Path, strace: bool = True
) -> Iterator[subprocess.Popen[bytes]]:
    """Run in the new `folder`, which gets an empty `home`, until it ends.

    With `strace`, where it can be had, the folder gets `calls`, too.
    """
    folder.mkdir()
    tracer = []
    if strace and strace_works():
        tracer = ["strace", "-f", "-s", "0", "-e", f"trace={CALLS}", "-o", str(folder / "calls")]
    with subprocess.Popen(
        [*isolation(), *tracer, *map(str, command)],
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


def left(folder: Path) -> set[str]:
    """Files that a run left in its folder, but for the trace."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix() for path in files} - {"calls"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, sample_file: Path) -> Path:
    """Folders of a pipe, a file, an analysis, a pipe without strace, and onnxruntime alone."""
    if not strace_works() and not isolation():
        pytest.skip("needs strace or a network namespace (unshare -rn), and leave to use it")
    folder = tmp_path_factory.mktemp("runs")
    samples = load_audio(sample_file, 16000)
    recordings = folder / "recordings"
    recordings.mkdir()
    soundfile.write(recordings / "short.wav", samples, 16000)
    soundfile.write(folder / "long.wav", np.tile(samples, 8), 16000)
    plain = f"import onnxruntime, time; time.sleep({SECONDS})"
    many_lines = ["--emit", "windows", "--no-vad", "--window", "0.2", "--hop", "0.05"]
    with (
        watched(folder / "plain", sys.executable, "-c", plain) as onnxruntime_alone,
        watched(
            folder / "pipe",
            *EMO_LISTEN,
            *["--device", "-", "--record-labels", "labels.jsonl", "--osc", "127.0.0.1:9000"],
        ) as pipe,
        watched(folder / "isolated", *EMO_LISTEN, "--device", "-", strace=False) as isolated,
        # Its lines fill the pipe that nobody reads, and it waits.
        watched(folder / "file", *EMO_LISTEN, "--device", folder / "long.wav", *many_lines),
        watched(
            folder / "analyse",
            *EMO_LISTEN,
            *["analyse", str(recordings), "--output", str(folder / "results.csv")],
        ),
    ):
        for process in (pipe, isolated):
            assert process.stdin
            process.stdin.write(np.round(samples * 32767).astype("<i2").tobytes())
            process.stdin.flush()
        onnxruntime_alone.wait()
    return folder


@pytest.mark.skipif(not isolation(), reason="needs a network namespace, lest it send something")
def test_telemetry_shows_where_it_is_on(runs: Path) -> None:
    import onnxruntime

    if tuple(map(int, onnxruntime.__version__.split(".")[:2])) < (1, 29):
        pytest.skip("this onnxruntime has no telemetry")
    if strace_works():
        assert network_calls(runs / "plain")
        assert any("onnxruntime.db" in path for path in written(runs / "plain"))
    assert any("onnxruntime.db" in path for path in left(runs / "plain"))


@pytest.mark.parametrize(
    ("run", "files"),
    [("pipe", {"labels.jsonl"}), ("file", set()), ("analyse", set()), ("isolated", set())],
)
def test_nothing_is_left_but_what_an_option_asks_for(runs: Path, run: str, files: set[str]) -> None:
    assert left(runs / run) == files
    assert list((runs / run / "home").iterdir()) == []


@needs_strace
@pytest.mark.parametrize("run", ["pipe", "file", "analyse"])
def test_nothing_is_sent(runs: Path, run: str) -> None:
    assert network_calls(runs / run) == []


@needs_strace
def test_only_an_option_opens_a_socket_or_a_file(runs: Path) -> None:
    assert len(sockets(runs / "pipe")) == 1  # OSC's
    assert written(runs / "pipe") == {"labels.jsonl"}
    assert sockets(runs / "file") == []
    assert written(runs / "file") == set()
    # Events are kept in the folder for temporary files until all are there.
    allowed = (f"{runs}/results.csv", f"{runs}/analyse/home/")
    assert all(path.startswith(allowed) for path in written(runs / "analyse"))


def test_every_script_imports_emo_listen_first(repository: Path) -> None:
    for folder in ("train", "export", "benchmarks"):
        for script in (repository / folder).rglob("*.py"):
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
