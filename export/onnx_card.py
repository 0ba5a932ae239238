"""Copy a checkpoint's model card to the exported folder, with a section on the ONNX graphs."""

from __future__ import annotations

import shutil
from pathlib import Path

from emo_listen.model_folder.network import FP32, INT8
from emo_listen.model_settings import ModelSettings
from export.precision_scores import score_rows
from export.tables import markdown_table
from train.report.model_card import with_last_section

CARD = "README.md"
HEADING = "## ONNX"
"""Heading of the section on the graphs."""


def extend_model_card(checkpoint: Path, folder: Path, settings: ModelSettings) -> None:
    """Write `folder/README.md`: the checkpoint's card, its pictures, and a section on ONNX.

    Nothing is written if the checkpoint has no card.
    """
    if not (checkpoint / CARD).is_file():
        return
    card = (checkpoint / CARD).read_text(encoding="utf-8")
    for picture in checkpoint.glob("*.png"):
        if picture.name in card:
            shutil.copyfile(picture, folder / picture.name)
    card = with_last_section(card, HEADING, onnx_section(folder, settings))
    (folder / CARD).write_text(card, encoding="utf-8")


def onnx_section(folder: Path, settings: ModelSettings) -> list[str]:
    """Markdown lines on the graphs in `folder`, their scores, and how to run them."""
    export = settings.origin["export"]
    lines = ["Exported by `export/to_onnx.py` of emo-listen:", ""]
    lines += ["```", export["command"], "```", ""]
    files = [["file", "size", "largest difference from PyTorch's logits"]]
    for name, key in ((FP32, "fp32"), (INT8, "int8")):
        if (folder / name).is_file():
            size = (folder / name).stat().st_size / 1e6
            difference = export["largest_logit_difference"][key]
            files.append([f"`{name}` ({key})", f"{size:.1f} MB", f"{difference:.1e}"])
    lines += [*markdown_table(files), ""]
    if "int8" in export:
        lines += [f"int8: {export['int8']}.", ""]

    for split, scores in settings.scores.items():
        if "fp32" in scores:
            lines += [*markdown_table(score_rows(scores, split)), ""]
    lines += [
        "```python",
        "from emo_listen import EmotionModel",
        "",
        'model = EmotionModel.load("this/folder")',
        "model.predict(samples, sampling_rate)",
        "```",
    ]
    return lines
