"""The JSON files of a model folder: types and ranges of fields."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from emo_listen import EmotionModel
from emo_listen.errors import ModelError
from emo_listen.model_folder.config import ModelConfig
from emo_listen.model_settings import ModelSettings
from tests.support.tiny_models import write_model

SETTINGS, CONFIG, PREPROCESSOR = "emo_listen.json", "config.json", "preprocessor_config.json"
UNUSABLE: list[Any] = ["3", None, True, [], {}, 0, -1, 1e308]
NO_HASHES: list[Any] = [[], "", {"x": 1}, {"x": "0"}]
TWO_LABELS = {"id2label": {"0": "calm", "1": "loud"}}


def load_with(folder: Path, name: str, content: str) -> EmotionModel:
    """Load a small model in which one file has been replaced by `content`."""
    write_model(folder)
    (folder / name).write_text(content)
    return EmotionModel.load(folder)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        *[(SETTINGS, {"window": value}) for value in UNUSABLE],
        *[(SETTINGS, {"hop": value}) for value in (0, 1e-9, 4, 10**400)],
        *[(SETTINGS, {"temperature": v}) for v in (0, 1e-300, "1", None)],
        *[(SETTINGS, {"uncertain_below": value}) for value in (-0.1, 1, "0.5")],
        *[(SETTINGS, {"sha256": value}) for value in NO_HASHES],
        *[(SETTINGS, {name: []}) for name in ("head", "origin", "scores")],
        *[(PREPROCESSOR, {"sampling_rate": v}) for v in ("16000", None, 0, 16000.5, 10**12, True)],
        *[(PREPROCESSOR, {"do_normalize": value}) for value in (None, 1, "yes")],
        *[(CONFIG, {"id2label": value}) for value in (None, [], ["a", "b"], {}, {"0": "one"})],
        *[
            (CONFIG, {"id2label": {"0": "calm", "1": label}})
            for label in ("", 1, None, "calm", "\x1b[2J", "a\nb", "\ud800", "x" * 101)
        ],
        (CONFIG, {"id2label": {"0": "calm", "2": "loud"}}),
        *[(CONFIG, {**TWO_LABELS, "conv_kernel": v, "conv_stride": [1]}) for v in (3, [], [3, 3])],
        *[
            (CONFIG, {**TWO_LABELS, "conv_kernel": [value], "conv_stride": [1]})
            for value in (0, -3, "3", 1e9, 16000)
        ],
    ],
)
def test_an_unusable_value_is_reported(tmp_path: Path, name: str, values: dict) -> None:
    field = next(iter(set(values) - {"conv_stride"} - ({"id2label"} if len(values) > 1 else set())))
    with pytest.raises(ModelError, match=f"{name}.*{field}") as raised:
        load_with(tmp_path / "any", name, json.dumps(values))
    assert len(str(raised.value)) < 300
    assert str(raised.value).isprintable()


@pytest.mark.parametrize("name", [SETTINGS, CONFIG, PREPROCESSOR])
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        (json.dumps({"id2label": "x" * 10_000_000}), "larger than 8 MiB"),
        ('{"window": NaN}', "NaN, which is not JSON"),
        ('{"scores": {"test": -Infinity}}', "-Infinity, which is not JSON"),
        ('{"window": ' + "9" * 5000 + "}", "cannot be used"),
        ("[]", "not a JSON object"),
        ("{", "cannot be used"),
        ("", "cannot be used"),
    ],
)
def test_unreadable_json_is_reported(tmp_path: Path, name: str, content: str, reason: str) -> None:
    with pytest.raises(ModelError, match=f"{name}.*{reason}"):
        load_with(tmp_path / "any", name, content)


@pytest.mark.parametrize("name", [SETTINGS, CONFIG, PREPROCESSOR])
def test_a_pipe_or_folder_instead_of_json_is_refused(tmp_path: Path, name: str) -> None:
    folder = write_model(tmp_path / "any")
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    with pytest.raises(ModelError, match=f"{name}.*not a regular file"):
        EmotionModel.load(folder)
    (folder / name).unlink()
    (folder / name).mkdir()
    with pytest.raises(ModelError, match=f"{name}.*not a regular file"):
        EmotionModel.load(folder)


@pytest.mark.parametrize("problem_type", ["regression", "multi_label_classification", 3])
def test_multi_label_models_are_refused(tmp_path: Path, problem_type: Any) -> None:
    with pytest.raises(ModelError, match="problem_type is"):
        load_with(
            tmp_path / "any", CONFIG, json.dumps({**TWO_LABELS, "problem_type": problem_type})
        )


def test_files_written_by_transformers_are_read(tmp_path: Path) -> None:
    values = {
        **TWO_LABELS,
        "problem_type": "single_label_classification",
        "conv_kernel": [10, 3, 3, 3, 3, 2, 2],
        "conv_stride": [5, 2, 2, 2, 2, 2, 2],
    }
    write_model(tmp_path)
    (tmp_path / CONFIG).write_text(json.dumps(values), encoding="utf-8-sig")
    assert ModelConfig.read(tmp_path) == ModelConfig(["calm", "loud"], 8000, False, 400)


def test_an_impossible_folder_name_is_refused() -> None:
    for path in ("x" * 5000, "a\0b"):
        with pytest.raises(ModelError):
            EmotionModel.load(path)


def test_scores_that_are_not_finite_are_written_as_null(tmp_path: Path) -> None:
    scores = {"test": {"uar": float("nan"), "recall": [float("inf"), 0.5]}}
    ModelSettings(scores=scores).write(tmp_path)
    assert ModelSettings.read(tmp_path).scores == {"test": {"uar": None, "recall": [None, 0.5]}}
