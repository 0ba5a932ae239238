"""Carry a checkpoint's model card over to the exported folder, and add how to run it there."""

from __future__ import annotations

import shutil
from pathlib import Path

from emo_listen.model_settings import ModelSettings
from export.graph import FP32, INT8
from train.report.model_card import with_last_section

CARD = "README.md"
HEADING = "## ONNX"


def extend_model_card(checkpoint: Path, folder: Path, settings: ModelSettings) -> None:
    """Write `folder/README.md`: the checkpoint's card, its pictures, and a section on ONNX.

    Where the checkpoint has no card, none is written.
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
    """Lines of Markdown on the graphs in `folder`, their scores, and how to run them."""
    made = settings.origin["export"]
    lines = ["Exported by `export/to_onnx.py` of emo-listen:", ""]
    lines += ["```", made["command"], "```", ""]
    lines += ["| file | size | largest difference to PyTorch's logits |", "| --- | --- | --- |"]
    for name, key in ((FP32, "fp32"), (INT8, "int8")):
        if (folder / name).is_file():
            size = (folder / name).stat().st_size / 1e6
            difference = made["largest_logit_difference"][key]
            lines.append(f"| `{name}` ({key}) | {size:.1f} MB | {difference:.1e} |")
    lines.append("")
    if "int8" in made:
        lines += [f"int8: {made['int8']}.", ""]

    rows = [
        (split, name, score)
        for split, scores in settings.scores.items()
        for name, score in scores.items()
        if "fp32" in scores
    ]
    if rows:
        lines += ["| split | run by | accuracy | UAR | clips |", "| --- | --- | --- | --- | --- |"]
        for split, name, score in rows:
            lines.append(
                f"| {split} | {name} | {score['accuracy']:.4f} | {score['uar']:.4f} "
                f"| {score['clips']} |"
            )
        lines.append("")
    lines += [
        "```python",
        "from emo_listen import EmotionModel",
        "",
        'model = EmotionModel.load("this/folder")',
        "model.predict(samples, sampling_rate)",
        "```",
    ]
    return lines
