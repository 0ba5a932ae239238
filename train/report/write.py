"""The report of a fine-tuned checkpoint: metrics, plots, model card, `emo_listen.json`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from emo_listen.model_settings import ModelSettings
from train.evaluation.scoring import Score
from train.report.model_card import Training, model_card, score_table
from train.report.plots import plot_confusion, plot_learning_curves

CHECKPOINT_FILES = ("config.json", "preprocessor_config.json", "model.safetensors")


def write_report(
    folder: Path, training: Training, scores: dict[str, Score], log: list[dict[str, Any]]
) -> None:
    """Write the report into the checkpoint's folder, and print the scores.

    Args:
        folder: of the checkpoint.
        training: the run.
        scores: by split; plots show the test split if it was scored.
        log: the Trainer's log history.
    """
    final = "test" if "test" in scores else "validation"
    plot_learning_curves(log, folder / "learning_curves.png")
    plot_confusion(
        scores[final].confusion,
        training.label_names,
        f"{training.data}, {final} split ({scores[final].n_clips} clips)",
        folder / "confusion_matrix.png",
    )
    document: dict[str, Any] = {
        name: {"clips": s.n_clips, **s.metrics, "confusion_matrix": s.confusion.tolist()}
        for name, s in scores.items()
    }
    document["labels"] = training.label_names
    (folder / "metrics.json").write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    pictures = {
        f"Confusion matrix, {final} split": "confusion_matrix.png",
        "Learning curves": "learning_curves.png",
    }
    card = model_card(training, scores, pictures)
    (folder / "README.md").write_text(card, encoding="utf-8")
    settings = ModelSettings(
        origin={
            "base_model": training.base_model,
            "base_model_origin": training.base_model_origin,
            "data": training.data,
            "licences": training.licences,
            "command": training.command,
            "versions": training.versions,
        },
        scores={name: {"pytorch": s.metrics} for name, s in scores.items()},
    )
    settings.add_hashes(folder, [folder / file for file in CHECKPOINT_FILES])
    settings.write(folder)
    print("\n".join(score_table(scores, training.label_names)))
    print(f"Checkpoint, metrics, plots and model card: {folder}")
