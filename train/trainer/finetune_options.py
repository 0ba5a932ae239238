"""Options of finetune.py: its own and the Trainer's, on the command line or in a file."""

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

DESCRIPTION = (
    "Fine-tune a HuBERT, wav2vec 2.0 or WavLM into an emotion classifier. The first argument may "
    "be a JSON or YAML file of options (see train/recipes/), which later options override. The "
    "options after --final_splits and --licences are those of transformers' TrainingArguments."
)

CARD_OPTIONS = (
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
"""Options that affect the result and that a model card does not describe otherwise."""


class HelpFormatter(argparse.HelpFormatter):
    """Shows each option once, with underscores, and its default if it has one."""

    def _format_action_invocation(self, action: argparse.Action) -> str:
        names = ", ".join(name for name in action.option_strings if "-" not in name.lstrip("-"))
        return (
            f"{names} VALUE{' ...' if action.nargs == '+' else ''}" if action.nargs != 0 else names
        )

    def _expand_help(self, action: argparse.Action) -> str:
        if action.nargs == 0 and action.option_strings[0].startswith("--no_"):
            return "The opposite."
        text = action.help or ""  # not a %-format: texts of transformers contain percentages
        if action.choices is not None:
            text += f" One of {', '.join(map(str, action.choices))}."
        if action.default in (None, [], argparse.SUPPRESS):
            return text
        return f"{text} (default: {action.default})"


@dataclass
class FinetuneArguments:
    """Data, base model, and what is trained."""

    data: list[str] = field(
        metadata={
            "help": "Corpora, which are joined: each a CREMA-D, LibriSpeech or EMO-DB folder, a "
            "folder with a sub-folder for each class, a CSV (columns file,label[,speaker,split] or "
            f"similar), or a hub dataset id. Recordings longer than {LONGEST:g} s are cut into "
            "windows."
        }
    )
    file_column: str | None = field(
        default=None,
        metadata={"help": "Column of files in a CSV, if it is not file, path, filename, …"},
    )
    label_column: str | None = field(
        default=None,
        metadata={"help": "Column of labels in a CSV, if it is not label, emotion, class, …"},
    )
    base_model: str | None = field(
        default=None,
        metadata={
            "help": f"Hub id or local folder; `{BUNDLED}` is the checkpoint in the clone. By "
            f"default {HUBERT_BASE}, or the checkpoint in the clone if no hub can be reached."
        },
    )
    trainable_layers: int = field(
        default=2,
        metadata={
            "help": "What is trained: 0 only the head, N also the top N encoder layers, -1 "
            "everything except the convolutional front end."
        },
    )
    weighted_layer_sum: bool | None = field(
        default=None,
        metadata={
            "help": "Feed the head a learned mean of all hidden states instead of the last one; by "
            "default as in the base model's config. Frozen encoder layers can then not be cached."
        },
    )
    train_window: list[float] = field(
        default_factory=list,
        metadata={
            "help": "Seconds, one length or the shortest and the longest: in each epoch, longer "
            "training clips are cut to a random part of such a length. Frozen layers can then not "
            "be cached. By default whole clips."
        },
    )
    augment: list[str] = field(
        default_factory=list,
        metadata={
            "help": "Augmentations of training clips, random in each epoch: any of "
            f"{', '.join(PROBABILITIES)}. Frozen layers can then not be cached."
        },
    )
    noise_dir: str | None = field(
        default=None,
        metadata={
            "help": "Folder with recordings of noise, also in sub-folders, for --augment noise."
        },
    )
    babble_dir: str | None = field(
        default=None,
        metadata={
            "help": "Folder with recordings of speech, also in sub-folders, for --augment babble."
        },
    )
    relative_to: str | None = field(
        default=None,
        metadata={
            "help": "Class of ordinary speech, such as neutral: each clip is also classified "
            "relative to its speaker's other clips of that class, as the listener does with a "
            "baseline. Needs speakers, --train_window, and batches that hold one clip of each "
            "other class and three of this one."
        },
    )
    soft_labels: str | None = field(
        default=None,
        metadata={
            "help": "CSV of soft_labels.py (columns name and the probability of each class) that "
            "training clips learn in addition to their labels."
        },
    )
    average_with: list[str] = field(
        default_factory=list,
        metadata={
            "help": "Folders of runs that differ from this one only in seed or soft labels: the "
            "mean of their weights and this run's is saved and scored at the end."
        },
    )
    cache_dir: str = field(
        default=str(CACHE_DIR),
        metadata={"help": "Folder of decoded sound and outputs of frozen layers."},
    )
    cache_trunk: bool = field(
        default=True,
        metadata={
            "help": "Compute the outputs of frozen layers once, and store them in cache_dir."
        },
    )
    early_stopping_patience: int | None = field(
        default=None,
        metadata={"help": "Stop after this many evaluations without improvement."},
    )
    test_at_end: bool = field(
        default=True,
        metadata={
            "help": "Score the test split at the end; set false while still choosing options."
        },
    )
    final_splits: bool = field(
        default=False,
        metadata={
            "help": "Use EMO-DB for training, as the final recipe does, instead of for validation."
        },
    )
    licences: list[str] = field(
        default_factory=list,
        metadata={"help": "'NAME: LICENCE' of each source of the model, for its card."},
    )


def parse_args(argv: list[str]) -> tuple[FinetuneArguments, ClipTrainingArguments]:
    """Read the command line, which may begin with a JSON or YAML file.

    Raises:
        CorpusError: the file cannot be read, or options contradict each other.
    """
    tokens = list(argv)
    from_file: list[str] = []
    if tokens and tokens[0].endswith((".json", ".yaml", ".yml")):
        from_file = file_tokens(Path(tokens.pop(0)))
    parser = HfArgumentParser(
        (FinetuneArguments, ClipTrainingArguments),
        usage="%(prog)s [RECIPE] --data CORPUS ... [OPTION VALUE] ...",
        description=DESCRIPTION,
        formatter_class=HelpFormatter,
    )
    try:
        own, args = parser.parse_args_into_dataclasses(
            args=count_in_steps(from_file) + count_in_steps(tokens)
        )
    except ValueError as error:
        raise CorpusError(f"Wrong options: {error}") from error
    if window_range(own.train_window) is None and own.relative_to:
        raise CorpusError(
            "--relative_to needs --train_window: all clips of a batch have one length."
        )
    return own, args


def window_range(train_window: list[float]) -> tuple[float, float] | None:
    """Shortest and longest window in seconds, from the option's one or two numbers.

    Raises:
        CorpusError: they are not a range.
    """
    if not train_window:
        return None
    shortest, longest = train_window[0], train_window[-1]
    if len(train_window) > 2 or not WINDOW_STEP <= shortest <= longest:
        raise CorpusError(
            f"--train_window {' '.join(map(str, train_window))}: give one length in seconds, or "
            f"the shortest and the longest, of at least {WINDOW_STEP} s."
        )
    return shortest, longest


def file_tokens(path: Path) -> list[str]:
    """Options of a JSON or YAML file as command-line arguments."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))  # JSON is YAML too
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CorpusError(f"The recipe {path} cannot be read: {error}") from error
    if not isinstance(values, dict):
        raise CorpusError(f"The recipe {path} must be a mapping from options to values.")
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
    """Make `--save_steps N` alone save and evaluate every N steps.

    With the default strategy, `epoch`, transformers would ignore N.
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
    """`CARD_OPTIONS` that differ from their default, as text."""
    default = {option.name: option.default for option in fields(args)}
    default |= asdict(FinetuneArguments(data=own.data))
    given: dict[str, Any] = {**vars(args), **vars(own)}
    return {
        name: as_text(name, given[name]) for name in CARD_OPTIONS if given[name] != default[name]
    }


def as_text(name: str, value: Any) -> str:
    """Value of the option `name` as in a recipe, without paths of this machine."""
    if name == "average_with":
        return " ".join(map(public_name, value))
    if isinstance(value, list):
        return " ".join(map(str, value))
    if name in ("noise_dir", "babble_dir", "soft_labels"):
        return public_name(value)
    return str(value).lower() if isinstance(value, bool) else str(getattr(value, "value", value))
