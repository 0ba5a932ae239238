"""What a checkpoint tells of its origin."""

from typing import Any

import numpy as np

from emo_listen.model_settings import ModelSettings
from train.corpus.provenance import origin_of, public_name
from train.evaluation.scoring import Score
from train.report.model_card import Training, model_card


def training(**changes):
    values: dict[str, Any] = {
        "base_model": "student",
        "base_model_origin": {},
        "data": "crema-d",
        "licences": ["CREMA-D: ODbL 1.0", "Whisper-base: MIT"],
        "command": "python train/finetune.py train/recipes/crema_d_compact.yaml",
        "label_names": ["anger", "sadness"],
        "clips": {"train": 8, "test": 2},
        "speakers": {"train": 4, "test": 0},
        "left_out": 1,
        "trained": "5 of 10 parameters trained",
        "steps": 3,
        "epochs": 1.0,
        "seed": 0,
    }
    return Training(**values | changes)


SCORES = {"test": Score(2, {"accuracy": 0.5, "recall_anger": 1.0}, np.eye(2, dtype=int))}


def test_the_card_names_licences_base_and_scores():
    made = {"teacher": "whisper-base", "data": "crema-d", "command": "python train/distill.py"}
    card = model_card(training(base_model_origin=made), SCORES, {"Confusion": "confusion.png"})
    for text in (
        "- CREMA-D: ODbL 1.0",
        "- Whisper-base: MIT",
        "(teacher: whisper-base; data: crema-d)",
        "python train/distill.py",
        "| accuracy | 0.500 |",
        "| recall of anger | 1.000 |",
        "| recall of sadness | - |",
        "- train: 8 clips, 4 speakers",
        "- test: 2 clips, speakers unknown",
        "![Confusion](confusion.png)",
    ):
        assert text in card
    chosen = training(options={"augment": "speed noise", "average_decay": "0.997"})
    assert "- options: `--augment speed noise`, `--average_decay 0.997`" in model_card(
        chosen, SCORES, {}
    )
    plain = model_card(training(licences=[]), SCORES, {})
    assert "options" not in plain
    assert "Made from" not in plain
    assert "itself made" not in plain


def test_origin_follows_the_base_model(tmp_path):
    ModelSettings(origin={"teacher": "whisper-base"}).write(tmp_path)
    assert origin_of(str(tmp_path)) == {"teacher": "whisper-base"}
    assert origin_of("facebook/hubert-base-ls960") == {}


def test_public_names_hide_folders(tmp_path):
    (tmp_path / "student").mkdir()
    assert public_name(str(tmp_path / "student")) == "student"
    assert public_name("facebook/hubert-base-ls960") == "facebook/hubert-base-ls960"
