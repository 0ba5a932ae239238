"""Each extra alone, with all that it declares and nothing else, runs what it is for."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np
import pytest
import soundfile
from packaging.requirements import Requirement

from emo_listen.extras import DEVELOPMENT_EXTRAS
from tests.support import tiny_checkpoints as tiny
from tests.support.only_declared import canonical

RATE = 16_000

OF_A_SERVER = {"ray", "s3"}
"""Extras that only `make test-ray` installs, and tests with a cluster and a server."""


@pytest.fixture(scope="module")
def project(repository: Path) -> dict:
    return tomllib.loads((repository / "pyproject.toml").read_text())["project"]


def closure(requirements: list[str]) -> set[str]:
    """Names of the distributions that pip would install for `requirements`."""
    found: set[str] = set()
    seen: set[str] = set()
    waiting = list(requirements)
    while waiting:
        text = waiting.pop()
        if text in seen:
            continue
        seen.add(text)
        wanted = Requirement(text)
        name = canonical(wanted.name)
        try:
            needed = distribution(name).requires or []
        except PackageNotFoundError:
            pytest.skip(f"{name} is not installed")
        found.add(name)
        extras = wanted.extras or {""}
        for line in needed:
            marker = Requirement(line).marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in extras):
                waiting.append(line.partition(";")[0])
    return found


@pytest.fixture
def started_with(repository: Path, project: dict, tmp_path: Path):
    """Start a script of the clone, or `emo_listen`, with the runtime and one extra."""

    def start(extra: str, script: str, *arguments: str | Path) -> subprocess.Popen[str]:
        needed = [*project["dependencies"], *project["optional-dependencies"][extra]]
        allowed = ",".join(sorted({"emo-listen", *closure(needed)}))
        script = script if script == "emo_listen" else str(repository / script)
        command = [
            sys.executable,
            repository / "tests" / "support" / "only_declared.py",
            allowed,
            script,
        ]
        path = os.pathsep.join([str(repository / "runtime"), str(repository)])
        environment = {**os.environ, "PYTHONPATH": path}
        return subprocess.Popen(
            [str(part) for part in (*command, *arguments)],
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


@pytest.fixture
def run_with(started_with):
    """Run a script to its end."""

    def run(*arguments: str | Path) -> str:
        with started_with(*arguments) as process:
            out, err = process.communicate()
        assert process.returncode == 0, out + err
        return out

    return run


def test_undeclared_packages_cannot_be_imported(run_with, tmp_path):
    script = tmp_path / "look.py"
    script.write_text(
        "import importlib.metadata as m, importlib.util as u, numpy\n"
        "print([n for n in ('torch', 'sklearn', 'pytest', 'pythonosc') if u.find_spec(n)])\n"
        "try: m.version('torch')\n"
        "except m.PackageNotFoundError: print('no torch')\n"
    )
    assert run_with("osc", str(script)) == "['pythonosc']\nno torch\n"


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    random = np.random.default_rng(0)
    lines = ["file,label,split"]
    for split, count in (("train", 4), ("validation", 2)):
        for number in range(count):
            for label in ("anger", "fear"):
                name = f"{split}_{label}_{number}.wav"
                soundfile.write(folder / name, 0.1 * random.normal(size=RATE // 2), RATE)
                lines.append(f"{name},{label},{split}")
    (folder / "clips.csv").write_text("\n".join(lines) + "\n")
    return folder / "clips.csv"


def test_train(run_with, clips, tmp_path):
    base = tiny.save(tiny.make_model(tiny.COMPACT), tmp_path / "base")
    run = tmp_path / "run"
    run_with(
        *("train", "train/finetune.py", "--data", clips, "--base_model", base, "--use_cpu"),
        *("--output_dir", run, "--cache_dir", tmp_path / "cache", "--num_train_epochs", "1"),
        *("--augment", "speed", "reverb"),
    )
    assert json.loads((run / "metrics.json").read_text())["validation"]["clips"] == 4


def test_export(run_with, clips, tmp_path):
    checkpoint = tiny.save(tiny.make_model(tiny.COMPACT), tmp_path / "checkpoint")
    run_with(
        *("export", "export/to_onnx.py", checkpoint, "--output", tmp_path / "model"),
        *("--data", clips, "--cache_dir", tmp_path / "cache", "--max-accuracy-drop", "100"),
    )
    assert (tmp_path / "model" / "onnx" / "model_quantized.onnx").is_file()


@pytest.mark.parametrize(
    ("extra", "arguments", "made"),
    [
        ("osc", ["--device", "talk.wav", "--osc", "127.0.0.1:9"], None),
        ("websocket", ["--device", "talk.wav", "--websocket", "0"], None),
        ("plot", ["--device", "talk.wav", "--plot", "talk.png"], "talk.png"),
        ("audformat", ["analyse", "talk.wav", "--output", "database"], "database/db.yaml"),
        ("media", ["--device", "talk.m4a"], None),
    ],
)
def test_the_command(run_with, sample_file, tmp_path, extra, arguments, made):
    sound, rate = soundfile.read(sample_file)
    soundfile.write(tmp_path / "talk.wav", sound[: 2 * rate], rate)
    if extra == "media":
        av = pytest.importorskip("av")
        write_m4a(av, tmp_path / "talk.m4a", sound[: 2 * rate], rate)
    out = run_with(extra, "emo_listen", *arguments)
    assert extra == "audformat" or '"segment"' in out
    assert made is None or (tmp_path / made).is_file()


def test_serve(started_with) -> None:
    options = ("--port", "0", "--max-streams", "1")
    with started_with("serve", "emo_listen", "serve", *options) as process:
        assert "serving up to 1 streams" in process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 0


def test_every_extra_of_the_runtime_has_a_case(project: dict) -> None:
    (cases,) = (mark for mark in test_the_command.pytestmark if mark.name == "parametrize")
    tested = {"serve", *(extra for extra, *_ in cases.args[1])}
    assert set(project["optional-dependencies"]) - DEVELOPMENT_EXTRAS - OF_A_SERVER == tested


def write_m4a(av, path: Path, sound: np.ndarray, rate: int) -> None:
    with av.open(str(path), "w", format="ipod") as file:
        stream = file.add_stream("aac", rate=rate)
        frame = av.AudioFrame.from_ndarray(sound[None].astype(np.float32), "fltp", "mono")
        frame.sample_rate = rate
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            file.mux(packet)
