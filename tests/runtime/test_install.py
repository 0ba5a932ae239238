"""The wheel in a clean environment without extras: what a device installs and runs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest
import soundfile


def check_output(*command: str | Path) -> str:
    """Run without what this process's environment says about Python; return the output."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    result = subprocess.run(
        [str(part) for part in command], env=environment, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def clean_environment(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of a new virtual environment that holds the wheel and no extras."""
    folder = tmp_path_factory.mktemp("install")
    # Of the sources alone, so that no earlier build is taken for this one.
    sources = folder / "sources"
    sources.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "runtime"):
        path = repository / name
        if path.is_dir():
            shutil.copytree(path, sources / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(path, sources)
    pip_wheel = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
    check_output(*pip_wheel, "--wheel-dir", folder, sources)
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "venv", with_pip=True)
    binaries = folder / "venv" / "bin"
    check_output(binaries / "python", "-m", "pip", "install", "--quiet", "--no-compile", wheel)
    return binaries


def test_the_installed_command_labels_the_bundled_sample(clean_environment: Path) -> None:
    code = "from emo_listen import demo; print(demo.SAMPLE)"
    sample = check_output(clean_environment / "python", "-I", "-c", code).strip()
    assert sample.startswith(str(clean_environment.parent))
    command: list[str | Path] = [clean_environment / "emo-listen", "--device", sample]
    lines = check_output(*command, "--emit", "windows", "--no-vad").splitlines()
    windows = [json.loads(line) for line in lines]
    assert windows[-1]["end"] == soundfile.info(sample).duration
    assert all(sum(window["scores"].values()) == pytest.approx(1, abs=1e-3) for window in windows)
    assert "segment" in {json.loads(line)["type"] for line in check_output(*command).splitlines()}


@pytest.mark.parametrize(
    ("extra", "library", "arguments"),
    [
        ("osc", "pythonosc", ["SAMPLE", "--osc", "127.0.0.1:9000"]),
        ("websocket", "websockets", ["SAMPLE", "--websocket", "0"]),
        ("plot", "matplotlib", ["SAMPLE", "--plot", "out.png"]),
        ("audformat", "audformat", ["SAMPLE", "--format", "audformat", "--output", "database"]),
        ("serve", "starlette", ["serve"]),
    ],
)
def test_an_extra_that_is_not_installed_is_reported(
    clean_environment: Path, sample_file: Path, extra: str, library: str, arguments: list[str]
) -> None:
    given = [str(sample_file) if argument == "SAMPLE" else argument for argument in arguments]
    result = subprocess.run(
        [clean_environment / "emo-listen", *given],
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 2
    assert f"MissingExtraError: {library} is not installed" in result.stderr
    assert f"pip install 'emo-listen[{extra}]'" in result.stderr


def test_nothing_of_training_is_installed(clean_environment: Path) -> None:
    code = (
        "from importlib.util import find_spec; "
        "print([name for name in ('torch', 'transformers', 'optimum', 'datasets', 'evaluate', "
        "'sklearn', 'onnx', 'runtime', 'train', 'export', 'benchmarks', 'tests') "
        "if find_spec(name)])"
    )
    assert check_output(clean_environment / "python", "-I", "-c", code).strip() == "[]"
    failed = subprocess.run(
        [clean_environment / "python", "-I", "-c", "import torch"], capture_output=True, text=True
    )
    assert "No module named 'torch'" in failed.stderr
