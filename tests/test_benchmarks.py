"""The benchmarks, run as commands on a few real recordings."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tiny_checkpoints as tiny

import to_onnx
from timing import interleave, summarise

BACKENDS = ["PyTorch", "ONNX fp32", "ONNX int8"]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A tiny checkpoint and its export."""
    folder = tmp_path_factory.mktemp("models")
    checkpoint = tiny.save(tiny.make_model(tiny.COMPACT), folder / "checkpoint")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(
            sys, "argv", ["to_onnx.py", str(checkpoint), "--output", str(folder / "model")]
        )
        assert to_onnx.main() == 0
    return checkpoint, folder / "model"


def run(repository, script, *arguments, cwd=None):
    return subprocess.run(
        [sys.executable, repository / "benchmarks" / script, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd or repository,
    )


@pytest.mark.corpus
def test_accuracy_of_the_three_on_crema_d(repository, shared_dir, models, tmp_path):
    checkpoint, model = models
    done = run(
        repository,
        "accuracy.py",
        *("--data", shared_dir / "crema-d", "--split", "validation", "--limit", 12),
        *("--checkpoint", checkpoint, "--model", model, "--output", tmp_path),
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout.splitlines()[-1])
    assert document["benchmark"] == "accuracy"
    assert document["clips"] == 12
    assert document["machine"]["processor"]
    assert list(document["backends"]) == BACKENDS
    for result in document["backends"].values():
        confusion = np.array(result["confusion"])
        assert confusion.sum(axis=1).tolist() == [2] * 6
        assert result["accuracy"] == pytest.approx(confusion.trace() / 12)
        assert {"uar", "macro_f1", "recall_anger", "recall_sadness"} <= set(result)
        assert 0 < result["median_ms"] <= result["p95_ms"]
    assert document["backends"]["ONNX fp32"]["agreement_with_pytorch"] == 1
    for name in ("pytorch", "onnx_fp32", "onnx_int8"):
        assert (tmp_path / f"confusion_{name}.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.corpus
def test_latency_on_crema_d(repository, shared_dir, models, tmp_path):
    checkpoint, model = models
    done = run(
        repository,
        "latency.py",
        *("--data", shared_dir / "crema-d", "--checkpoint", checkpoint, "--model", model),
        *("--windows", 1, 2, "--threads", 1, "--rounds", 3, "--output", tmp_path),
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout.splitlines()[-1])
    assert document["benchmark"] == "latency"
    rows = document["results"]
    assert [(row["window_s"], row["backend"]) for row in rows] == [
        (window, backend) for window in (1, 2) for backend in BACKENDS
    ]
    for row in rows:
        assert 0 < row["median_ms"] <= row["p95_ms"]
        assert row["speed_up"] > 0
    assert (tmp_path / "latency.png").read_bytes().startswith(b"\x89PNG")


def test_latency_of_what_there_is_on_the_bundled_sample(repository, models, tmp_path):
    _, model = models
    done = run(
        repository,
        "latency.py",
        *("--model", model, "--windows", 0.5, "--threads", 1, "--rounds", 2),
        *("--output", tmp_path),
    )
    assert done.returncode == 0, done.stderr
    assert "No PyTorch row: give --checkpoint" in done.stdout
    document = json.loads(done.stdout.splitlines()[-1])
    assert document["speech"] == "bundled sample"
    assert [row["backend"] for row in document["results"]] == BACKENDS[1:]
    assert all("speed_up" not in row for row in document["results"])


def test_the_bundled_checkpoint_is_not_compared_with_another_model(repository, models, tmp_path):
    checkpoint, model = models
    shutil.copytree(checkpoint, tmp_path / "runs" / "crema-d-compact")
    done = run(
        repository,
        "latency.py",
        *("--model", model, "--windows", 0.5, "--threads", 1, "--rounds", 2),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "No PyTorch row: give --checkpoint" in done.stdout
    document = json.loads(done.stdout.splitlines()[-1])
    assert [row["backend"] for row in document["results"]] == BACKENDS[1:]


def test_models_of_other_classes_are_not_compared(repository, models, tmp_path):
    _, model = models
    other = tiny.make_model(tiny.COMPACT, id2label={0: "calm", 1: "angry"})
    checkpoint = tiny.save(other, tmp_path / "other")
    done = run(repository, "latency.py", "--checkpoint", checkpoint, "--model", model)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("latency.py: error: PyTorch and ONNX fp32")
    assert "Traceback" not in done.stderr


def test_a_corpus_without_the_split_is_a_named_error(repository, models, tmp_path):
    _, model = models
    with (tmp_path / "clips.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["file", "label", "split"], ["a.wav", "anger", "train"]])
    done = run(
        repository,
        "accuracy.py",
        *("--data", tmp_path / "clips.csv", "--split", "test", "--model", model),
    )
    assert done.returncode == 2
    assert "accuracy.py: error: " in done.stderr
    assert "Traceback" not in done.stderr


def test_predictors_take_turns_on_each_clip_after_a_warm_up():
    calls = []

    def predictor(name):
        def predict(samples):
            calls.append((name, len(samples)))
            return f"{name}{len(samples)}"

        return predict

    clips = [np.zeros(n, np.float32) for n in (3, 5)]
    labels, seconds = interleave({"a": predictor("a"), "b": predictor("b")}, clips, warm_up=1)
    assert calls == [("a", 3), ("b", 3), ("a", 3), ("b", 3), ("a", 5), ("b", 5)]
    assert labels == {"a": ["a3", "a5"], "b": ["b3", "b5"]}
    assert [len(times) for times in seconds.values()] == [2, 2]


def test_summaries_are_in_milliseconds():
    assert summarise([0.001, 0.002, 0.010]) == {"median_ms": 2.0, "p95_ms": 9.2}
