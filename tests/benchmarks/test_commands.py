"""The benchmarks, run as commands on a few real recordings."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from benchmarks import (
    accuracy,
    latency,
    own_recordings,
    results,
)
from benchmarks.common import command, options
from benchmarks.common.backends import PYTORCH, load_backends
from benchmarks.common.hubert_base import HUBERT_BASE
from benchmarks.common.pytorch_backends import BF16, PIPELINE, pytorch_backends
from benchmarks.common.timing import interleave, machine, summarise
from benchmarks.scoring.accuracy_tables import by_group
from benchmarks.scoring.figures import figures, speaker_interval
from benchmarks.scoring.groups import read_table, score_groups
from emo_listen.errors import CorpusError, ModelError
from emo_listen.model_folder.network import FP32
from emo_listen.model_settings import ModelSettings
from export import to_onnx
from tests.support import tiny_checkpoints as tiny
from tests.support.scripts import run_script
from train.corpus.recordings import bundled_speech
from train.evaluation.calibration import Answers

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


def run(repository, script, *arguments):
    return run_script(repository / "benchmarks" / script, *arguments)


@pytest.fixture
def calibrated(models, tmp_path):
    """A copy of the export with a card, a temperature of 2, and labels that are `uncertain`."""
    folder = Path(shutil.copytree(models[1], tmp_path / "calibrated"))
    settings = ModelSettings.read(folder)
    settings.temperature, settings.uncertain_below = 2.0, 0.3
    settings.write(folder)
    (folder / "README.md").write_text("# A tiny model\n\n## Calibration\n\nOf no use.\n")
    return folder


@pytest.mark.corpus
def test_accuracy_of_the_three_on_crema_d(repository, shared_dir, models, calibrated, tmp_path):
    checkpoint, _ = models
    done = run(
        repository,
        "accuracy.py",
        *("--data", shared_dir / "crema-d", "--split", "validation", "--limit", 30),
        *("--checkpoint", checkpoint, "--model", calibrated, "--output", tmp_path),
        *("--windows", 1, 9, "--write_card"),
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout.splitlines()[-1])
    assert document["benchmark"] == "accuracy"
    assert document["clips"] == 30
    assert document["machine"]["processor"]
    assert list(document["backends"]) == BACKENDS
    for result in document["backends"].values():
        confusion = np.array(result["confusion"])
        assert confusion.sum(axis=1).tolist() == [5] * 6
        assert result["accuracy"] == pytest.approx(confusion.trace() / 30)
        assert {"uar", "macro_f1", "recall_anger", "recall_sadness"} <= set(result)
        assert 0 <= result["expected_calibration_error"] <= 1
        assert 0 <= result["certain"] <= 1
        low, high = result["accuracy_95"]
        assert low <= result["accuracy"] <= high
        assert 0 < result["median_ms"] <= result["p95_ms"]
    pytorch, fp32, int8 = document["backends"].values()
    assert fp32["agreement_with_pytorch"] == 1
    error = "expected_calibration_error"
    assert fp32[error] == pytest.approx(pytorch[error], abs=1e-4)

    assert [(row["heard"], row["window_s"]) for row in document["windows"]] == [
        *(("windows", 1), ("segments", 1), ("windows", 9), ("segments", 9)),
        ("whole clips", None),
    ]
    one, _, nine, segments, whole = document["windows"]
    assert one["count"] >= nine["count"] > segments["count"] > 25
    assert (whole["count"], whole["accuracy"]) == (30, int8["accuracy"])
    for rows in document["groups"].values():
        of_sex = [row for row in rows if row["attribute"] == "sex"]
        assert [row["group"] for row in of_sex] == ["Female", "Male"]
        assert sum(row["clips"] for row in of_sex) == 30

    pictures = ["benchmark_reliability.png", "benchmark_windows.png", "benchmark_groups.png"]
    for name in ("confusion_pytorch.png", "confusion_onnx_fp32.png", *pictures):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    card = (calibrated / "README.md").read_text()
    assert card.startswith("# A tiny model\n\n## Calibration\n\nOf no use.\n\n## Benchmark\n")
    assert "python benchmarks/accuracy.py --data" in card
    assert f"| accuracy | {pytorch['accuracy']:.3f} | {fp32['accuracy']:.3f} |" in card
    assert "|  | windows, 1 s | segments, 1 s | windows, 9 s |" in card
    assert "| sex: Female | ONNX int8 |" in card
    for name in ("confusion_onnx_int8.png", *pictures):
        assert f"![]({name})" in card
        assert (calibrated / name).read_bytes() == (tmp_path / name).read_bytes()


@pytest.mark.corpus
def test_shapes_side_by_side(repository, shared_dir, models, calibrated, tmp_path):
    data = ("--data", shared_dir / "crema-d")
    done = run(repository, "shapes.py", models[1], calibrated, *data, "--output", tmp_path)
    assert done.returncode == 0, done.stderr
    plain, other = json.loads(done.stdout.splitlines()[-1])["results"]
    assert (plain["model"], other["model"]) == ("model", "calibrated")
    assert plain["accuracy"] == other["accuracy"]  # the same graph, another temperature
    assert 0 < plain["median_ms"] <= plain["p95_ms"]
    assert (tmp_path / "shapes.png").read_bytes().startswith(b"\x89PNG")


def test_a_model_without_a_card_is_a_named_error(models, tmp_path):
    arguments = ["--data", str(tmp_path), "--model", str(models[1]), "--write_card"]
    with pytest.raises(ModelError, match=r"has no README\.md to write to"):
        accuracy.run(accuracy.parse_args(arguments))


def test_the_temperature_of_the_folder_applies_to_all(models, calibrated):
    (calibrated / FP32).unlink()  # As in the bundled model: the checkpoint is exported.
    backends = load_backends(models[0], calibrated, threads=1)
    assert list(backends.predictors) == BACKENDS
    samples = bundled_speech(16_000)[:32_000]
    of_two = [predict(samples) for predict in backends.predictors.values()]
    assert backends.settings.uncertain_below == 0.3
    of_one = load_backends(models[0], models[1], threads=1).predictors[PYTORCH](samples)
    expected = np.sqrt(of_one) / np.sqrt(of_one).sum()
    for probabilities, tolerance in zip(of_two, (1e-6, 1e-5, 0.02), strict=True):
        np.testing.assert_allclose(probabilities, expected, atol=tolerance)


def answers(classes, given, speakers, confidence=0.9):
    """Two classes; the predicted one has `confidence`."""
    probabilities = np.full((len(classes), 2), 1 - confidence)
    probabilities[np.arange(len(classes)), given] = confidence
    return Answers(np.log(probabilities), np.array(classes), list(speakers))


def test_figures_by_hand():
    found = figures(answers([0, 0, 0, 1], [0, 0, 1, 1], "abca"), ["calm", "loud"], 0.8)
    assert found["accuracy"] == found["accuracy_certain"] == 0.75
    assert found["uar"] == pytest.approx((2 / 3 + 1) / 2)
    assert found["recall_calm"] == pytest.approx(2 / 3)
    assert found["expected_calibration_error"] == pytest.approx(0.15)
    assert found["certain"] == 1
    none = figures(answers([0, 1], [0, 1], "ab", 0.7), ["calm", "loud"], 0.8)
    assert (none["certain"], none["accuracy_certain"]) == (0, None)
    assert "accuracy_95" not in none
    assert "certain" not in figures(answers([0, 1], [0, 1], "ab"), ["calm", "loud"], 0.0)


def test_intervals_resample_speakers():
    # Each speaker is always right or always wrong, in many clips.
    speakers = np.repeat(list("abcd"), 100)
    given = np.repeat([0, 0, 0, 1], 100)
    assert speaker_interval(answers([0] * 400, given, speakers)) == [0.25, 1]
    mixed = answers([0] * 400, given, np.tile(list("abcd"), 100))
    assert speaker_interval(mixed) == [0.75, 0.75]
    assert speaker_interval(answers([0] * 400, given, np.repeat(list("ab"), 200))) is None
    assert speaker_interval(answers([0], [0], [None])) is None


def test_groups_of_a_table(tmp_path):
    path = tmp_path / "speakers.csv"
    path.write_text(
        '"Who","Age","Sex","Tongue"\n'
        "a,29,Female,English\nb,30,Female,English\nc,60,Male,English\nd,,Male,English\n"
    )
    table = read_table(path)
    assert table["age"] == {"a": "under 30", "b": "30 to 44", "c": "60 and over", "d": "unknown"}
    all_answers = answers([0, 1] * 5, [0, 0] * 5, "aabbccddee")
    rows = score_groups(all_answers, table, ["calm", "loud"], 0.0)
    # All speak one language, except e, who is not in the table.
    assert [(row["attribute"], row["group"]) for row in rows] == [
        *(("age", name) for name in ("under 30", "30 to 44", "60 and over", "unknown")),
        *(("sex", name) for name in ("Female", "Male", "unknown")),
        *(("tongue", name) for name in ("English", "unknown")),
    ]
    assert [row["speakers"] for row in rows] == [1, 1, 1, 2, 2, 2, 1, 4, 1]
    assert [row["clips"] for row in rows[-2:]] == [8, 2]
    assert "accuracy_95" in rows[-2] and "accuracy_95" not in rows[0]
    table_rows = by_group({"ONNX int8": rows})
    interval = table_rows[0].index("95 % interval")
    assert [row[interval] for row in table_rows[-2:]] == ["0.50 to 0.50", "too few (< 3)"]
    without_e = all_answers.select(np.array([name != "e" for name in all_answers.speakers]))
    attributes = {row["attribute"] for row in score_groups(without_e, table, ["x", "y"], 0.0)}
    assert attributes == {"age", "sex"}


@pytest.mark.parametrize("text", ["", "Who\na\n", "Who,Age\na,old\n", "Who,Age\na,-3\n"])
def test_invalid_tables_are_refused(tmp_path, text):
    (tmp_path / "speakers.csv").write_text(text)
    with pytest.raises(CorpusError):
        read_table(tmp_path / "speakers.csv")
    with pytest.raises(CorpusError, match="cannot be read"):
        read_table(tmp_path / "absent.csv")


def test_groups_need_speakers():
    with pytest.raises(CorpusError, match="does not name the speaker of every clip"):
        score_groups(answers([0], [0], [None]), {"sex": {"a": "Male"}}, ["calm", "loud"], 0.0)


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


def test_latency_of_available_backends_on_the_bundled_sample(repository, models, tmp_path):
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


@pytest.fixture
def clone(models, tmp_path, monkeypatch):
    """A clone with a tiny checkpoint and bundled model, and a folder of CREMA-D's file names."""
    checkpoint, model = models
    names = ("1009_IEO_ANG_HI", "1009_IEO_NEU_XX", "1011_IEO_SAD_HI", "1002_IEO_SAD_LO")
    corpus = tmp_path / "crema-d" / "AudioWAV"
    corpus.mkdir(parents=True)
    speech = bundled_speech(16_000)
    for i, name in enumerate(names):
        soundfile.write(corpus / f"{name}.wav", speech[i * 16_000 : (i + 2) * 16_000], 16_000)
    monkeypatch.setattr(command, "BUNDLED_CHECKPOINT", checkpoint)
    monkeypatch.setattr(command, "BUNDLED_MODEL", model)
    monkeypatch.setattr(options, "BUNDLED_MODEL", model)
    monkeypatch.setattr(to_onnx, "BUNDLED_CHECKPOINT", checkpoint)
    monkeypatch.chdir(tmp_path)
    return corpus.parent


def test_the_default_checkpoint_and_corpus(clone, monkeypatch, repository):
    monkeypatch.setenv("EMO_LISTEN_DATA", str(clone))
    document = json.loads(run(repository, "accuracy.py").stdout.splitlines()[-1])
    assert list(document["backends"]) == BACKENDS
    assert document["clips"] == 3  # 1002 is a training actor
    done = run(repository, "latency.py", "--windows", 0.5, "--threads", 1, "--rounds", 2)
    document = json.loads(done.stdout.splitlines()[-1])
    assert document["speech"] == "crema-d"
    assert [row["backend"] for row in document["results"]] == BACKENDS


def test_without_a_corpus_its_download_is_suggested(clone, repository):
    download = "python train/get_crema_d.py --output data/crema-d"
    done = run(repository, "accuracy.py")
    assert done.returncode == 2
    assert download in done.stderr
    done = run(repository, "latency.py", "--windows", 0.5, "--threads", 1, "--rounds", 2)
    assert download in done.stdout
    assert json.loads(done.stdout.splitlines()[-1])["speech"] == "bundled sample"


def test_the_bundled_checkpoint_is_not_compared_with_another_model(models, tmp_path):
    args = latency.parse_args(["--model", str(models[1])])
    command.fill_defaults(args)
    assert args.checkpoint is None


def test_models_of_other_classes_are_not_compared(repository, models, tmp_path):
    _, model = models
    other = tiny.make_model(tiny.COMPACT, id2label={0: "calm", 1: "angry"})
    checkpoint = tiny.save(other, tmp_path / "other")
    done = run(repository, "latency.py", "--checkpoint", checkpoint, "--model", model)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("error: PyTorch and ONNX fp32")


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
    assert "error: " in done.stderr


@pytest.mark.corpus
def test_quantizations_on_crema_d(repository, shared_dir, models, tmp_path):
    done = run(
        repository,
        "quantization.py",
        *("--data", shared_dir / "crema-d", "--checkpoint", models[0], "--limit", 12),
        *("--only", "int8", "--windows", 1, "--threads", 1, 2, "--rounds", 2),
        *("--output", tmp_path),
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout.splitlines()[-1])
    assert document["clips"] == 12
    fp32, int8 = document["results"]
    assert (fp32["quantization"], int8["quantization"]) == ("fp32", "int8")
    assert (fp32["same_label"], fp32["largest_change"]) == (1, 0)
    assert 0 < int8["largest_change"] < 0.1
    assert int8["mb"] <= fp32["mb"]
    for row in (fp32, int8):
        assert 0 <= row["accuracy"] <= 1
        assert row["1_s_1_threads_ms"] > 0
        assert row["1_s_2_threads_ms"] > 0
    assert (tmp_path / "accuracy_latency.png").read_bytes().startswith(b"\x89PNG")


def test_the_cost_of_a_stream(repository, models, tmp_path):
    done = run(
        repository,
        "streaming.py",
        *("--model", models[1], "--hops", 0.5, 1, "--seconds", 4, "--streams", 1, 3),
        *("--rounds", 2, "--output", tmp_path),
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout.splitlines()[-1])
    assert [(row["sound"], row["hop_s"]) for row in document["cost"]] == [
        (sound, hop) for sound in ("speech", "silence") for hop in (0.5, 1)
    ]
    for row in document["cost"]:
        assert row["percent_of_core"] > 0
    alone = [row for row in document["many"] if row["batch"] == 1]
    assert [row["streams"] for row in alone] == [1, 3]
    for row in alone:
        # The package runs one window at a time, so nothing may change.
        assert row["largest_change"] == 0
        assert row["real_time"] > 0
    (batched,) = [row for row in document["many"] if row["batch"] > 1]
    assert 0 < batched["largest_change"] < 0.1
    one_by_one, predict_batch, one_call = document["clips"]["ways"].values()
    assert (one_by_one["speed_up"], one_by_one["largest_change"]) == (1, 0)
    assert (predict_batch["speed_up"] > 0, predict_batch["largest_change"]) == (True, 0)
    assert 0 < one_call["largest_change"] < 0.1
    assert "simultaneous streams run in real time" in done.stdout
    assert (tmp_path / "stream_cost.png").read_bytes().startswith(b"\x89PNG")


def test_memory_and_the_first_label(repository, models):
    done = run(
        repository,
        "memory.py",
        *("--model", models[1], "--checkpoint", models[0], "--rounds", 1),
    )
    assert done.returncode == 0, done.stderr
    runtime, pipeline = json.loads(done.stdout.splitlines()[-1])["results"]
    assert (runtime["process"], pipeline["process"]) == ("emo-listen", "transformers.pipeline")
    # PyTorch alone takes more than all of the runtime.
    assert 20 < runtime["peak_mb"] < pipeline["peak_mb"]
    assert 0 < runtime["first_label_s"] <= runtime["slowest_s"]


def test_a_process_that_fails_is_a_named_error(repository, tmp_path):
    done = run(repository, "memory.py", "--model", tmp_path, "--rounds", 1)
    assert done.returncode == 2
    assert "error: emo-listen failed" in done.stderr


def test_other_ways_to_run_pytorch_give_its_probabilities(models):
    checkpoint, model = models
    samples = bundled_speech(16_000)[:32_000]
    expected = load_backends(checkpoint, model, threads=1).predictors[PYTORCH](samples)
    others = pytorch_backends(checkpoint, compiled=False)
    for name, tolerance in ((PIPELINE, 1e-5), (BF16, 0.02)):
        np.testing.assert_allclose(others[name](samples), expected, atol=tolerance)


def test_speed_ups_over_the_same_model_and_hubert_base_in_pytorch():
    rows = [
        {"backend": name, "threads": 1, "window_s": 3.0, "median_ms": time}
        for name, time in (
            ("PyTorch", 60.0),
            ("ONNX int8", 20.0),
            (f"{HUBERT_BASE}: PyTorch", 600.0),
            (f"{HUBERT_BASE}: ONNX int8", 200.0),
        )
    ]
    latency.add_speed_ups(rows)
    assert [row["speed_up"] for row in rows] == [1, 3, 1, 3]
    assert [row["speed_up_hubert_base"] for row in rows] == [10, 30, 1, 3]


def test_the_page_of_results(repository, models, tmp_path):
    documents = {
        "memory": {
            "results": [
                {"process": "emo-listen", "first_label_s": 0.5, "slowest_s": 0.6, "peak_mb": 99.0}
            ]
        }
    }
    info = {**machine(), "load": 3.0}
    page = "\n".join(results.page_lines(documents, info, tmp_path / "here", 12.3))
    assert "| emo-listen | 0.50 | 0.60 | 99 |" in page
    assert "WARNING: other work was running (load 3.0" in page
    assert "## Tried without benefit" in page
    absent = ["--librispeech", "absent", "--emo_db", "absent", "--noise", "absent"]
    args = results.parse_args(["--model", str(models[1]), *absent])
    assert list(results.commands(args, tmp_path)) == ["latency", "streaming", "serve", "memory"]
    found = ["--librispeech", str(tmp_path), "--emo_db", str(tmp_path), "--noise", str(tmp_path)]
    everything = ["--model", str(models[1]), "--checkpoint", str(models[0]), "--data", "x", *found]
    scripts = results.commands(results.parse_args(everything), tmp_path)
    assert list(scripts) == [
        *("latency", "accuracy", "unseen", "everyday", "robustness", "listening"),
        *("quantization", "streaming", "serve", "memory"),
    ]
    assert all((repository / "benchmarks" / f"{script}.py").is_file() for script in scripts)
    crema_d = tmp_path / "crema-d"
    crema_d.mkdir()
    (crema_d / "1001_DFA_ANG_XX.wav").touch()
    everything[everything.index("x")] = str(crema_d)
    arguments = results.commands(results.parse_args(everything), tmp_path)["own_recordings"]
    assert arguments[:4] == ["--base_model", str(models[0]), "--data", str(crema_d)]
    own = own_recordings.parse_args(arguments)
    assert own.split == "test"


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
