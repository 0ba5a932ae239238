r"""Distil a compact HuBERT from a teacher: it learns to reproduce its hidden states.

The teacher is Whisper's encoder, HuBERT, wav2vec 2.0 or WavLM. The student is initialised with all
parts of the teacher that fit its shape (`distillation/student.py`). Then the front end alone is
trained, which is cheap, and then everything. From Whisper everything fits, so a student of its
width needs no steps:

    python train/distill.py --teacher openai/whisper-base \
        --student train/recipes/student_compact.json \
        --data data/crema-d --front_end_steps 0 --steps 0 \
        --output runs/student

Only the corpus's training speakers are used, without their labels. From time to time a linear probe
of the student's frozen hidden states is scored on the validation speakers. Run the same command
again to continue a stopped run. The output folder is a `--base_model` of finetune.py.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path

import emo_listen  # noqa: F401  First, since it turns telemetry off.

# isort: split
import torch
from tqdm import tqdm
from transformers import HubertConfig, HubertModel, set_seed

from emo_listen.model_settings import ModelSettings
from train.backbones.load import SAMPLING_RATE, default_extractor
from train.common.command import command_parser, exits_with_code
from train.corpus.audio_cache import add_cache_dir
from train.corpus.load import load_corpus
from train.corpus.prepare import PreparedCorpus, prepare_corpus
from train.corpus.provenance import public_name
from train.distillation.hidden_states import (
    Pupil,
    channel_scales,
    hidden_states,
    relative_errors,
)
from train.distillation.probe import probe_states
from train.distillation.stages import (
    FRONT_END,
    LAYERS,
    LOG_FILE,
    Crops,
    Stage,
    append_row,
    train_stage,
)
from train.distillation.student import build_student, fixed_modules, paired_states
from train.distillation.teacher import load_teacher
from train.report.plots import plot_distillation

PROBE_FILE = "probe.jsonl"

FITTING_BATCHES = 8
"""Batches of crops for fitting scales and measuring the final errors."""


class Probe:
    """Linear probe of a student's frozen hidden states, run and logged during distillation."""

    def __init__(self, corpus: PreparedCorpus, args: argparse.Namespace) -> None:
        """Use the corpus's training and validation clips."""
        self.training = corpus.windows("train")[0]
        self.validation = corpus.windows("validation")[0]
        self.args = args

    def after_step(self, student: HubertModel, step: int) -> None:
        """Probe every `--probe_steps` steps."""
        if self.args.probe_steps and step % self.args.probe_steps == 0:
            self(student, step)

    def __call__(self, student: HubertModel, step: int) -> None:
        """Probe each hidden state, and log the accuracies on the validation speakers."""
        depth = student.config.num_hidden_layers
        accuracies = probe_states(
            lambda values: hidden_states(student, values, depth, self.args.bf16),
            self.training,
            self.validation,
            student.device,
            self.args.seed,
        )
        append_row(self.args.output / PROBE_FILE, {"step": step, "accuracy": accuracies})
        shown = " ".join(f"{accuracy:.3f}" for accuracy in accuracies)
        tqdm.write(f"Probe accuracy after {step} steps, hidden states 0 to {depth}: {shown}")


def run(args: argparse.Namespace, command: str) -> None:
    """Distil, save the student and its feature extractor, draw the curves.

    Raises:
        CorpusError: the corpus cannot be used.
        ModelError: the teacher cannot be loaded, or does not fit the student.
    """
    set_seed(args.seed)
    args.output.mkdir(parents=True, exist_ok=True)
    config = HubertConfig.from_json_file(str(args.student))
    if args.num_hidden_layers is not None:
        config.num_hidden_layers = args.num_hidden_layers
    teacher = load_teacher(args.teacher)
    corpus = prepare_corpus(load_corpus(args.data), SAMPLING_RATE, args.cache_dir)
    training = corpus.windows("train")[0].with_format("numpy")
    crops = Crops(list(training["samples"]), args.crop, args.batch_size, args.seed)
    print(f"Training clips: {len(training)}, {len(crops.stream) / SAMPLING_RATE / 3600:.2f} h")
    every = {"log_steps": args.log_steps, "save_steps": args.save_steps}
    stages = (
        Stage(FRONT_END, args.front_end_steps, args.front_end_learning_rate, 0, args.bf16, **every),
        Stage(LAYERS, args.steps, args.learning_rate, args.front_end_steps, args.bf16, **every),
    )
    after_last = args.front_end_steps + args.steps
    speech = torch.cat([crops(after_last + n) for n in range(FITTING_BATCHES)])
    student = build_student(config, teacher, speech)
    for module in fixed_modules(student, teacher):
        module.requires_grad_(False)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    teacher.to(device)
    pupil = Pupil(student, teacher.width).to(device)
    print(f"Student: {student.num_parameters() / 1e6:.1f} M parameters, device: {device.type}")
    pairs = paired_states(config.num_hidden_layers, teacher)
    speech = speech.to(device)
    with torch.no_grad():
        states = teacher(speech, pairs[-1])
    targets = [states[n] for n in pairs]
    scales = channel_scales(targets)
    student.train()
    student.config.apply_spec_augment = False
    probe = Probe(corpus, args)
    for stage in stages:
        after_step = probe.after_step if stage.name == LAYERS else lambda student, step: None
        train_stage(stage, pupil, teacher, crops, scales, args.output, after_step)
    student.config.apply_spec_augment = True
    with torch.no_grad():
        learnt = pupil(speech, len(pairs) - 1, bf16=False)
        errors = relative_errors(learnt, targets, scales).tolist()
    print("Squared error over variance: " + " ".join(f"{error:.3f}" for error in errors))
    if args.probe_steps and (args.steps % args.probe_steps or not args.steps):
        probe(student, args.steps)
    student.save_pretrained(args.output)
    default_extractor(config).save_pretrained(args.output)
    if (args.output / LOG_FILE).is_file():
        log = [json.loads(line) for line in (args.output / LOG_FILE).read_text().splitlines()]
        plot_distillation(log, args.output / "distillation.png")
    ModelSettings(
        origin={
            "teacher": public_name(args.teacher),
            "data": f"{public_name(args.data)}, {len(training)} training clips, labels unused",
            "command": command,
            "squared_error_over_variance": [round(error, 5) for error in errors],
        }
    ).write(args.output)
    print(f"Student: {args.output}")


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = command_parser(__doc__)

    def add(name: str, default: int | float, text: str) -> None:
        text = f"{text} (default: {default:g})"
        parser.add_argument(name, type=type(default), default=default, metavar="N", help=text)

    parser.add_argument(
        "--teacher",
        default="openai/whisper-base",
        help="folder or hub id (default: openai/whisper-base)",
    )
    parser.add_argument(
        "--student", type=Path, required=True, help="HubertConfig of the student, as JSON"
    )
    parser.add_argument(
        "--num_hidden_layers",
        type=int,
        metavar="N",
        help="layers of the student (default: as in its config)",
    )
    parser.add_argument(
        "--data", required=True, help="corpus, as finetune.py takes it; its labels are not used"
    )
    parser.add_argument("--output", type=Path, required=True, help="folder to write the student to")
    add_cache_dir(parser)
    add("--front_end_steps", 1300, "steps that train only the front end")
    add("--steps", 200, "steps that train everything")
    add("--front_end_learning_rate", 6e-4, "peak learning rate of the front end's steps")
    add("--learning_rate", 2e-4, "peak learning rate of the other steps")
    add("--crop", 3.0, "seconds of each crop")
    add("--batch_size", 12, "crops per step")
    parser.add_argument(
        "--bf16",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="run encoder layers in bfloat16 (default)",
    )
    add("--log_steps", 25, "steps between lines of distill.jsonl")
    add("--save_steps", 200, "steps between saved states")
    add("--probe_steps", 200, "steps between probes; 0 for none")
    add("--seed", 0, "random seed")
    return parser.parse_args(argv)


@exits_with_code
def main(argv: list[str] | None = None) -> None:
    """Run from the command line."""
    argv = sys.argv[1:] if argv is None else argv
    run(parse_args(argv), shlex.join(["python", "train/distill.py", *argv]))


if __name__ == "__main__":
    sys.exit(main())
