"""Options of finetune.py: its own and the Trainer's, from the command line or from a file."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml
from transformers import HfArgumentParser

from emo_listen.errors import CorpusError
from train.corpus.audio_cache import CACHE_DIR
from train.corpus.long_recordings import LONGEST
from train.corpus.provenance import public_name
from train.trainer.augment import PROBABILITIES
from train.trainer.base_model import BUNDLED, HUBERT_BASE
from train.trainer.clips import WINDOW_STEP
from train.trainer.emotion_trainer import ClipTrainingArguments

DESCRIPTION = "Fine-tune a HuBERT (or wav2vec 2.0, WavLM) into an emotion classifier."

TOLD_IN_CARD = (
    "final_splits",
    "weighted_layer_sum",
    "train_window",
    "augment",
    "noise_dir",
    "babble_dir",
    "relative_to",
    "soft_labels",
    "soft_label_weight",
    "num_train_epochs",
    "max_steps",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "optim",
    "learning_rate",
    "head_learning_rate",
    "layer_decay",
    "lr_scheduler_type",
    "warmup_ratio",
    "warmup_steps",
    "weight_decay",
    "max_grad_norm",
    "label_smoothing_factor",
    "average_decay",
    "average_with",
    "bf16",
    "fp16",
    "early_stopping_patience",
    "metric_for_best_model",
)
"""Options that change what is learnt and that a model card does not tell in other words."""


@dataclass
class FinetuneArguments:
    """What to train on, from which model, and which part of it."""

    data: list[str] = field(
        metadata={
            "help": "CREMA-D, LibriSpeech or EMO-DB folder, folder with a sub-folder for each "
            "class, CSV (file,label[,speaker,split], or the like), or hub dataset id; several are "
            f"joined. Recordings longer than {LONGEST:g} s are cut into windows."
        }
    )
    file_column: str | None = field(
        default=None,
        metadata={"help": "Column of a CSV's files; file, path, filename ... by default."},
    )
    label_column: str | None = field(
        default=None,
        metadata={"help": "Column of a CSV's labels; label, emotion, class ... by default."},
    )
    base_model: str | None = field(
        default=None,
        metadata={
            "help": f"Hub id or local folder; `{BUNDLED}`: the checkpoint in the clone. By default "
            f"{HUBERT_BASE}, or where no hub can be reached the checkpoint in the clone."
        },
    )
    trainable_layers: int = field(
        default=2,
        metadata={
            "help": "0 the head only, N the top N encoder layers too, -1 all but the waveform "
            "front end."
        },
    )
    weighted_layer_sum: bool | None = field(
        default=None,
        metadata={
            "help": "Let the head take a learned mean of all hidden states rather than the last; "
            "as the base's config says by default. Below N trained layers of N it keeps the "
            "frozen layers from being cached."
        },
    )
    train_window: list[float] = field(
        default_factory=list,
        metadata={
            "help": "Seconds, one length or the shortest and the longest: longer training clips "
            "are cut at a random place each epoch, to a length between the two, which keeps the "
            "frozen layers from being cached. Whole clips by default."
        },
    )
    augment: list[str] = field(
        default_factory=list,
        metadata={
            "help": "How training clips are varied, anew each epoch, which keeps the frozen "
            f"layers from being cached: any of {', '.join(PROBABILITIES)}."
        },
    )
    noise_dir: str | None = field(
        default=None,
        metadata={"help": "Folder of recordings of noise, at any depth, for --augment noise."},
    )
    babble_dir: str | None = field(
        default=None,
        metadata={"help": "Folder of recordings of speech, at any depth, for --augment babble."},
    )
    relative_to: str | None = field(
        default=None,
        metadata={
            "help": "Class of ordinary speech, such as neutral: each clip is then judged relative "
            "to its speaker's other clips of that class as well, as a listener does with a "
            "baseline. Needs speakers, --train_window, and batches of one clip of each other "
            "class and three of this."
        },
    )
    soft_labels: str | None = field(
        default=None,
        metadata={
            "help": "CSV of soft_labels.py (name, then a column for each class with its "
            "probability) that training clips learn beside their labels."
        },
    )
    average_with: list[str] = field(
        default_factory=list,
        metadata={
            "help": "Folders of runs that differ from this one in their seed alone: what is saved "
            "and scored at the end is the mean of all their weights and this run's."
        },
    )
    cache_dir: str = field(
        default=str(CACHE_DIR), metadata={"help": "Folder of decoded sound and frozen outputs."}
    )
    cache_trunk: bool = field(
        default=True,
        metadata={"help": "Compute the frozen layers' output once, and store it in cache_dir."},
    )
    early_stopping_patience: int | None = field(
        default=None,
        metadata={"help": "Stop after so many evaluations without a better one."},
    )
    test_at_end: bool = field(
        default=True,
        metadata={"help": "Score the test split at the end; false while still choosing."},
    )
    final_splits: bool = field(
        default=False,
        metadata={
            "help": "Train on EMO-DB, as the final recipe does; else it is all for validation."
        },
    )
    licences: list[str] = field(
        default_factory=list,
        metadata={"help": "'NAME: LICENCE' of what the model is made from, for its card."},
    )


def parse_args(argv: list[str]) -> tuple[FinetuneArguments, ClipTrainingArguments]:
    """Read the command line, which may begin with a JSON or YAML file.

    Raises:
        CorpusError: the file is unreadable, or values do not fit together.
    """
    tokens = list(argv)
    from_file: list[str] = []
    if tokens and tokens[0].endswith((".json", ".yaml", ".yml")):
        from_file = file_tokens(Path(tokens.pop(0)))
    parser = HfArgumentParser(
        (FinetuneArguments, ClipTrainingArguments),
        description=DESCRIPTION,
    )
    try:
        own, args = parser.parse_args_into_dataclasses(
            args=count_in_steps(from_file) + count_in_steps(tokens)
        )
    except ValueError as error:
        raise CorpusError(f"The options do not fit: {error}") from error
    if window_range(own.train_window) is None and own.relative_to:
        raise CorpusError("--relative_to needs --train_window: one length for each batch's clips.")
    return own, args


def window_range(train_window: list[float]) -> tuple[float, float] | None:
    """Shortest and longest window in seconds, of the option's one or two numbers.

    Raises:
        CorpusError: they are no such range.
    """
    if not train_window:
        return None
    shortest, longest = train_window[0], train_window[-1]
    if len(train_window) > 2 or not WINDOW_STEP <= shortest <= longest:
        raise CorpusError(
            f"--train_window {' '.join(map(str, train_window))}: give one length in seconds, or "
            f"the shortest and the longest, from {WINDOW_STEP} s."
        )
    return shortest, longest


def file_tokens(path: Path) -> list[str]:
    """Options of a JSON or YAML file as command-line words."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))  # JSON is YAML too
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CorpusError(f"The recipe {path} cannot be read: {error}") from error
    if not isinstance(values, dict):
        raise CorpusError(f"The recipe {path} must be a mapping of options to values.")
    tokens: list[str] = []
    for name, value in values.items():
        if value is None or value == []:
            continue
        if isinstance(value, list):
            tokens += [f"--{name}", *map(str, value)]
        else:
            text = json.dumps(value) if isinstance(value, dict) else str(value)
            tokens += [f"--{name}={text}"]
    return tokens


def count_in_steps(tokens: list[str]) -> list[str]:
    """Let `--save_steps N` alone mean to save, and to evaluate, each N steps.

    The default strategy is `epoch`, under which transformers would ignore N.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for name in ("save_steps", "save_strategy", "eval_steps", "eval_strategy"):
        parser.add_argument(f"--{name}", f"--{name.replace('_', '-')}", dest=name)
    given, _ = parser.parse_known_args(tokens)
    more: list[str] = []
    if given.save_steps and not given.save_strategy:
        more += ["--save_strategy=steps"]
        if not given.eval_steps and not given.eval_strategy:
            more += ["--eval_strategy=steps", f"--eval_steps={given.save_steps}"]
    if given.eval_steps and not given.eval_strategy:
        more += ["--eval_strategy=steps"]
    return tokens + more


def chosen_options(own: FinetuneArguments, args: ClipTrainingArguments) -> dict[str, str]:
    """Those of `TOLD_IN_CARD` that are not at their default, as one would give them."""
    default = {option.name: option.default for option in fields(args)}
    default |= asdict(FinetuneArguments(data=own.data))
    given: dict[str, Any] = {**vars(args), **vars(own)}
    return {
        name: as_given(name, given[name]) for name in TOLD_IN_CARD if given[name] != default[name]
    }


def as_given(name: str, value: Any) -> str:
    """Value of the option `name` as a recipe has it, without folders of this machine."""
    if name == "average_with":
        return " ".join(map(public_name, value))
    if isinstance(value, list):
        return " ".join(map(str, value))
    if name in ("noise_dir", "babble_dir", "soft_labels"):
        return public_name(value)
    return str(value).lower() if isinstance(value, bool) else str(getattr(value, "value", value))
