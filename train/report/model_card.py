"""The README.md of a checkpoint: what it is, what it was made from, how, and its scores."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from train.evaluation.scoring import Score

ORDER = ("accuracy", "uar", "macro_f1")
NAMES = {"accuracy": "accuracy", "uar": "unweighted average recall", "macro_f1": "macro F1"}


@dataclass
class Training:
    """A run, as its model card describes it."""

    base_model: str
    """Hub id or folder name of the base model."""

    base_model_origin: dict[str, Any]
    """Origin of the base model from its `emo_listen.json`; empty if it has none."""

    data: str
    """Name of the corpus or corpora."""

    licences: list[str]
    """`NAME: LICENCE` of each source of the model."""

    command: str
    """The command that trained it."""

    label_names: list[str]
    """Classes, in the order of their indices."""

    clips: dict[str, int]
    """Clips of each split."""

    speakers: dict[str, int]
    """Known speakers of each split."""

    left_out: int
    """Clips that were left out because they are unusable or ambiguous."""

    trained: str
    """Which parameters were trained."""

    steps: int
    """Optimizer steps."""

    epochs: float
    """Epochs completed."""

    seed: int
    """Random seed."""

    versions: dict[str, str] = field(default_factory=dict)
    """Versions of the libraries."""

    options: dict[str, str] = field(default_factory=dict)
    """Options that differ from their default, as in the command or recipe."""


def model_card(training: Training, scores: dict[str, Score], pictures: dict[str, str]) -> str:
    """Write the card in Markdown with the hub's YAML header.

    Args:
        training: the run.
        scores: by split.
        pictures: file names of plots, by caption.
    """
    head = [
        "---",
        "library_name: transformers",
        "pipeline_tag: audio-classification",
        "tags: [speech-emotion-recognition, audio-classification, emo-listen]",
        *([f"base_model: {training.base_model}"] if "/" in training.base_model else []),
        "---",
        "",
        f"# Speech emotion classifier, trained on {training.data}",
        "",
        f"Classifies speech into {len(training.label_names)} classes: "
        f"{', '.join(training.label_names)}. Fine-tuned from `{training.base_model}` "
        f"({training.trained}).",
        "",
        "## Scores",
        "",
        "Measured in float32, each clip alone and without padding.",
        "",
    ]
    return "\n".join(
        head
        + score_table(scores, training.label_names)
        + [""]
        + [f"![{caption}]({file})" for caption, file in pictures.items()]
        + training_section(training)
        + licence_section(training.licences)
        + [
            "## Limits",
            "",
            "The classes are the acted or labelled emotions of these corpora. Languages, rooms, "
            "microphones and kinds of speech without a table in this card were not measured; nor "
            "was spontaneous emotion. A label is not a fact about what a person feels.",
            "",
        ]
    )


def score_table(scores: dict[str, Score], label_names: list[str]) -> list[str]:
    """Markdown lines of a table with a row for each metric and a column for each split."""
    lines = [
        "| metric | " + " | ".join(f"{n} ({s.n_clips} clips)" for n, s in scores.items()) + " |",
        "| --- |" + " ---: |" * len(scores),
    ]
    keys = [*ORDER, *(f"recall_{name}" for name in label_names)]
    for key in keys:
        name = NAMES.get(key, key.replace("_", " of ", 1))
        cells = [f"{s.metrics[key]:.3f}" if key in s.metrics else "-" for s in scores.values()]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def training_section(training: Training) -> list[str]:
    """Markdown lines on how the model was trained."""
    lines = ["", "## Training", "", "```", training.command, "```", ""]
    made = training.base_model_origin
    if "command" in made:
        known = [key for key in ("teacher", "base_model", "data") if key in made]
        source = "; ".join(f"{key.replace('_', ' ')}: {made[key]}" for key in known)
        lines += [f"The base model was made ({source}) with", "", "```", made["command"], "```"]
        lines += [""]
    for split, n_clips in training.clips.items():
        speakers = training.speakers[split]
        count = f"{speakers} speakers" if speakers else "speakers unknown"
        lines.append(f"- {split}: {n_clips} clips, {count}")
    lines += [
        f"- left out: {training.left_out} clips",
        *([f"- options: {chosen}"] if (chosen := chosen_options(training)) else []),
        f"- {training.steps} optimizer steps in {training.epochs:g} epochs, seed {training.seed}",
        "- " + ", ".join(f"{name} {version}" for name, version in training.versions.items()),
        "",
    ]
    return lines


def chosen_options(training: Training) -> str:
    """Options of a run in Markdown, as on the command line."""
    return ", ".join(f"`--{name} {value}`" for name, value in training.options.items())


def licence_section(licences: list[str]) -> list[str]:
    """Markdown lines with the licences of the model's sources."""
    if not licences:
        return []
    return ["## Made from", "", *(f"- {licence}" for licence in licences), ""]


def with_last_section(card: str, heading: str, lines: list[str]) -> str:
    """Return `card` with a section at its end, replacing an older one with the same heading.

    Everything after the older one is removed, too.
    """
    rest = card.partition(f"\n{heading}\n")[0].rstrip()
    return "\n".join([rest, "", heading, "", *lines, ""])
