"""`emo-listen analyse --engine ray` on a cluster of two machines of one core each, on loopback."""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import soundfile

from emo_listen.audio import load_audio
from emo_listen.cli import main
from emo_listen.engine import ListenOptions
from emo_listen.errors import ClusterError

ray: Any = pytest.importorskip("ray", reason="needs the extra ray: make test-ray")

from emo_listen.commands.ray_workers import Analyser, analyse_files_with_ray  # noqa: E402

COMMAND = [sys.executable, "-m", "emo_listen.cli", "analyse", "talks", "--engine", "ray"]
RATE = 16000


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))  # For Ray's token.
        machines = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
        machines.add_node(num_cpus=1)
        patch.setenv("RAY_ADDRESS", machines.address)
        yield machines
        machines.shutdown()


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory, sample_file: Path) -> Path:
    """A folder with `talks`: six recordings and a damaged file."""
    folder = tmp_path_factory.mktemp("recordings")
    (folder / "talks").mkdir()
    samples = load_audio(sample_file, RATE)
    for number in range(6):
        name = f"voice{number // 2}_{number}.flac"
        soundfile.write(folder / "talks" / name, samples[number * RATE :], RATE)
    (folder / "talks" / "damaged.wav").write_text("no sound")
    return folder


@pytest.fixture
def talks(recordings: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The recordings, in the current folder."""
    monkeypatch.chdir(recordings)
    return Path("talks")


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return tmp_path / "results.jsonl"


def analysers(cluster: Any) -> list[int]:
    """Process ids of the workers on all machines."""
    found = []
    for node in cluster.list_all_nodes():
        raylet = node.all_processes["raylet"][0].process.pid
        for child in Path(f"/proc/{raylet}/task/{raylet}/children").read_text().split():
            if b"ray::Analyser" in Path(f"/proc/{child}/cmdline").read_bytes():
                found.append(int(child))
    return found


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@functools.cache
def local_rows(*options: str) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder, "local.jsonl")
        assert main(["analyse", "talks", "--output", str(results), *options]) == 1
        return rows(results)


def test_the_rows_are_those_of_the_local_engine(talks: Path, cluster: Any, results: Path) -> None:
    command = ["analyse", "talks", "--output", str(results), "--engine", "ray"]
    assert main(command) == 1  # There is a damaged file.
    assert rows(results) == local_rows()
    assert sum(row["type"] == "segment" for row in rows(results)) >= 12


@pytest.mark.parametrize("options", [[], ["--group-by", r"voice(\d)"]])
def test_a_killed_worker_costs_nothing(
    talks: Path, cluster: Any, results: Path, options: list[str]
) -> None:
    command = [*COMMAND, "--output", str(results), *options]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        while not results.exists() or results.read_bytes().count(b'{"type": "file"') < 1:
            assert process.poll() is None
            time.sleep(0.02)
        os.kill(analysers(cluster)[0], signal.SIGKILL)
        errors = process.communicate(timeout=200)[1]
    print(errors)  # `pytest -s` shows the log.
    assert process.returncode == 1
    assert "A worker died at talks/voice" in errors and "Traceback" not in errors
    assert rows(results) == local_rows(*options)


def test_a_lost_machine_costs_nothing(talks: Path, cluster: Any, results: Path) -> None:
    third = cluster.add_node(num_cpus=1)
    with subprocess.Popen([*COMMAND, "--output", str(results)]) as process:
        while len(analysers(cluster)) < 3 or not results.exists() or len(rows(results)) < 2:
            assert process.poll() is None
            time.sleep(0.02)
        cluster.remove_node(third, allow_graceful=False)
        assert process.wait(timeout=200) == 1
    assert rows(results) == local_rows()


def test_one_engine_continues_where_another_stopped(
    talks: Path, cluster: Any, results: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    output = ["--output", str(results)]
    files = [str(talks / f"voice0_{number}.flac") for number in range(2)]
    assert main(["analyse", *files, *output]) == 0
    assert main(["analyse", "talks", *output, "--engine", "ray"]) == 1
    assert "Already done: 2 of 7 files." in capfd.readouterr().err
    assert main(["analyse", "talks", *output]) == 1
    assert "Already done: 6 of 7 files." in capfd.readouterr().err
    assert rows(results) == local_rows()


def test_a_file_that_crashes_every_worker_fails_alone(
    talks: Path, cluster: Any, tmp_path: Path
) -> None:
    files = sorted(map(str, talks.glob("voice*")))[:3]
    finished: dict[str, str | None] = {}
    for report in analyse_files_with_ray(
        [[file] for file in files], model=None, options=ListenOptions(), jobs=1, folder=tmp_path
    ):
        if report.done:
            finished[report.file] = report.error
        elif report.file == files[0] and report.seconds == 0:
            (worker,) = analysers(cluster)
            os.kill(worker, signal.SIGKILL)
    assert finished == {
        files[0]: "analysing it crashed 3 workers",
        files[1]: None,
        files[2]: None,
    }


def test_a_machine_with_another_version_or_model_is_refused() -> None:
    for release, sha256, message in [("0", "", "install 0 there"), (None, "", "another model")]:
        release = release or version("emo-listen")
        worker = Analyser(".", None, release, sha256)
        with pytest.raises(ClusterError, match=message):
            next(worker.analyse([], ListenOptions()))


def test_a_cluster_that_cannot_be_used_is_named(
    talks: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "ray://127.0.0.1:9")
    assert main(["analyse", "talks", "--engine", "ray"]) == 2
    assert "ClusterError: RAY_ADDRESS is ray://127.0.0.1:9: run" in capfd.readouterr().err
