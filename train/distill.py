"""Teach a compact `HubertModel` to reproduce a teacher's hidden states.

The teacher is Whisper's encoder, HuBERT, wav2vec 2.0 or WavLM; the student begins with whatever
of the teacher fits its shape (`student.py`). First the front end alone is taught, which is cheap,
then all. Of Whisper everything fits, so that a student as wide as it needs no steps:

    python train/distill.py --teacher openai/whisper-base \
        --student train/recipes/student_compact.json --data ../shared/crema-d --front_end_steps 0 \
        --steps 0 --output runs/student

Only the corpus's training speakers are heard, without their labels. Now and then a linear probe
of the student's frozen hidden states tells what they are worth on the validation speakers. A
stopped run continues when the same command is given again. The folder then serves as
`finetune.py --base_model`.
"""

from __future__ import annotations

import argparse
import json
import math
import shlex
import sys
from pathlib import Path
from typing import Any

import emo_listen  # noqa: F401  First, since it turns telemetry off.

# isort: split
import numpy as np
import torch
from torch import nn
from tqdm import tqdm
from transformers import HubertConfig, HubertModel, Wav2Vec2FeatureExtractor, set_seed

from emo_listen.errors import EmoListenError, ModelError
from emo_listen.model import normalize
from emo_listen.model_settings import ModelSettings
from train.corpus.audio_cache import add_cache_dir, decode_corpus, print_faults, to_float
from train.corpus.load import load_corpus
from train.corpus.long_recordings import cut_long
from train.corpus.provenance import public_name
from train.corpus.splits import split_corpus
from train.distillation.probe import probe_states
from train.distillation.student import build_student, fixed_modules, paired_states
from train.distillation.teacher import Teacher, load_teacher
from train.report.plots import plot_distillation

SAMPLING_RATE = 16000
STATE_FILE = "training_state.pt"
LOG_FILE = "distill.jsonl"
PROBE_FILE = "probe.jsonl"

FITTING_BATCHES = 8
"""Batches of crops that scales are fitted on, and the final errors measured."""


class Pupil(nn.Module):
    """The student, and a linear map for each hidden state where the teacher is wider or narrower.

    The maps serve distillation alone and are left behind (as in DistilHuBERT, Chang et al. 2022).
    """

    def __init__(self, student: HubertModel, teacher_width: int) -> None:
        """Wrap a student for a teacher of `teacher_width`."""
        super().__init__()
        self.student = student
        width = student.config.hidden_size
        self.maps = nn.ModuleList(
            nn.Identity() if width == teacher_width else nn.Linear(width, teacher_width)
            for _ in range(student.config.num_hidden_layers + 1)
        )

    def forward(self, input_values: torch.Tensor, depth: int, bf16: bool) -> list[torch.Tensor]:
        """Hidden states 0 to `depth` as maps of `(batch, frames, teacher_width)`."""
        states = hidden_states(self.student, input_values, depth, bf16)
        return [to_theirs(state) for to_theirs, state in zip(self.maps, states, strict=False)]


def hidden_states(
    student: HubertModel, input_values: torch.Tensor, depth: int, bf16: bool
) -> list[torch.Tensor]:
    """Run the student up to hidden state `depth`; each `(batch, frames, width)`, front end fp32."""
    encoder = student.encoder
    features = student.feature_extractor(input_values).transpose(1, 2)
    projected = student.feature_projection(features)
    state = projected + encoder.pos_conv_embed(projected)
    if not student.config.do_stable_layer_norm:
        state = encoder.layer_norm(state)
    states = [state]
    with torch.autocast(input_values.device.type, torch.bfloat16, enabled=bf16):
        for layer in encoder.layers[:depth]:
            states.append(layer(states[-1])[0])
    return states


class Crops:
    """Random crops of the training speakers' clips, by step number, so that runs can resume."""

    def __init__(self, clips: list[np.ndarray], crop: float, batch_size: int, seed: int) -> None:
        self.length = round(crop * SAMPLING_RATE)
        self.batch_size = batch_size
        self.seed = seed
        self.stream = np.concatenate(clips)

    def __call__(self, step: int) -> torch.Tensor:
        """`input_values` `(batch_size, n_samples)` of one step: zero mean, unit variance."""
        rng = np.random.default_rng([self.seed, step])
        starts = rng.integers(0, len(self.stream) - self.length, self.batch_size)
        crops = [normalize(to_float(self.stream[s : s + self.length])) for s in starts]
        return torch.from_numpy(np.stack(crops))


def relative_errors(
    student: list[torch.Tensor], teacher: list[torch.Tensor], scales: list[torch.Tensor]
) -> torch.Tensor:
    """Return each hidden state's squared error over the variance of its channels.

    1 is no better than the mean, 0 is perfect. Every channel counts alike: Whisper has a few
    very large ones.

    Args:
        student: hidden states, each `(batch, frames, width)`.
        teacher: those they should equal.
        scales: standard deviation of the teacher's channels, each `(width,)`.
    """
    return torch.stack(
        [
            squared_error(mine.float() / scale, theirs.float() / scale)
            for mine, theirs, scale in zip(student, teacher, scales, strict=True)
        ]
    )


def squared_error(student: torch.Tensor, teacher: torch.Tensor) -> torch.Tensor:
    """Mean squared error over the frames that both have; front ends may differ by one at the end.

    Raises:
        ModelError: the student has not 50 frames a second.
    """
    frames = min(student.shape[1], teacher.shape[1])
    if max(student.shape[1], teacher.shape[1]) - frames > 2:
        raise ModelError(
            f"the student makes {student.shape[1]} frames where the teacher makes "
            f"{teacher.shape[1]}: its strides must multiply to 320"
        )
    return (student[:, :frames] - teacher[:, :frames]).square().mean()


def channel_scales(states: list[torch.Tensor]) -> list[torch.Tensor]:
    """Return the standard deviation by channel, `(width,)`, of hidden states."""
    return [state.flatten(0, 1).std(dim=0).clamp(min=1e-3) for state in states]


def learning_rate_at(step: int, steps: int, peak: float) -> float:
    """Linear warm-up over the first 50 steps, then cosine decay to zero."""
    return peak * min(1.0, (step + 1) / 50) * 0.5 * (1 + math.cos(math.pi * step / steps))


def train_stage(
    pupil: Pupil,
    teacher: Teacher,
    crops: Crops,
    scales: list[torch.Tensor],
    probe: Probe,
    args: argparse.Namespace,
    stage: str,
) -> None:
    """Train one stage: `front_end` (hidden state 0 alone) or `layers` (all hidden states)."""
    student = pupil.student
    front_end = stage == "front_end"
    steps = args.front_end_steps if front_end else args.steps
    pairs = paired_states(0 if front_end else student.config.num_hidden_layers, teacher)
    depth = len(pairs) - 1
    peak = args.front_end_learning_rate if front_end else args.learning_rate
    trained = [
        parameter
        for name, parameter in pupil.named_parameters()
        if parameter.requires_grad and not (front_end and ".layers." in name)
    ]
    if not steps or not trained:
        return
    optimizer = torch.optim.AdamW(trained, betas=(0.9, 0.98), weight_decay=0.0)
    first = 0
    state_path = args.output / f"{stage}-{STATE_FILE}"
    if state_path.is_file():
        state = torch.load(state_path, weights_only=True, map_location=student.device)
        pupil.load_state_dict(state["pupil"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["step"]
    offset = 0 if front_end else args.front_end_steps
    progress = tqdm(range(first, steps), initial=first, total=steps, desc=stage, unit="step")
    running: list[np.ndarray] = []
    for step in progress:
        input_values = crops(offset + step).to(student.device)
        device_type = student.device.type
        with torch.no_grad(), torch.autocast(device_type, torch.bfloat16, enabled=args.bf16):
            everything = teacher(input_values, pairs[-1])
        targets = [everything[n] for n in pairs]
        errors = relative_errors(
            pupil(input_values, depth, args.bf16), targets, scales[: depth + 1]
        )
        for group in optimizer.param_groups:
            group["lr"] = learning_rate_at(step, steps, peak)
        optimizer.zero_grad(set_to_none=True)
        errors.mean().backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        running.append(errors.detach().cpu().numpy())
        if (step + 1) % args.log_steps == 0 or step + 1 == steps:
            mean = np.mean(running, axis=0)
            running.clear()
            progress.set_postfix_str(" ".join(f"{error:.3f}" for error in mean))
            rounded = [round(float(error), 5) for error in mean]
            row = {"stage": stage, "step": step + 1, "errors": rounded}
            append(args.output / LOG_FILE, row)
        if (step + 1) % args.save_steps == 0 or step + 1 == steps:
            state = {
                "pupil": pupil.state_dict(),
                "optimizer": optimizer.state_dict(),
                "step": step + 1,
            }
            torch.save(state, state_path.with_suffix(".tmp"))
            state_path.with_suffix(".tmp").replace(state_path)
        if not front_end and args.probe_steps and (step + 1) % args.probe_steps == 0:
            probe(student, step + 1)


def append(path: Path, row: dict[str, Any]) -> None:
    """Add a row to a JSON Lines file."""
    with path.open("a", encoding="utf-8") as log:
        log.write(json.dumps(row) + "\n")


class Probe:
    """Linear probe of a student's frozen hidden states, logged as it learns."""

    def __init__(self, splits: dict[str, Any], args: argparse.Namespace) -> None:
        """Keep the training and validation clips; the latter may be missing."""
        self.splits = splits
        self.args = args

    def __call__(self, student: HubertModel, step: int) -> None:
        """Probe each hidden state and log the accuracies on the validation speakers."""
        if "validation" not in self.splits:
            return
        depth = student.config.num_hidden_layers
        accuracies = probe_states(
            lambda values: hidden_states(student, values, depth, self.args.bf16),
            self.splits["train"],
            self.splits["validation"],
            student.device,
            self.args.seed,
        )
        append(self.args.output / PROBE_FILE, {"step": step, "accuracy": accuracies})
        told = " ".join(f"{accuracy:.3f}" for accuracy in accuracies)
        tqdm.write(f"probe after {step} steps, hidden states 0 to {depth}: {told}")


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--teacher", default="openai/whisper-base", help="folder or hub id")
    parser.add_argument("--student", type=Path, required=True, help="HubertConfig as JSON")
    parser.add_argument(
        "--num_hidden_layers", type=int, help="of the student, instead of its config's"
    )
    parser.add_argument("--data", required=True, help="as in finetune.py; its labels are not used")
    parser.add_argument("--output", type=Path, required=True, help="folder of the student")
    add_cache_dir(parser)
    parser.add_argument("--front_end_steps", type=int, default=1300, help="steps of stage 1")
    parser.add_argument("--steps", type=int, default=200, help="steps of stage 2")
    parser.add_argument("--front_end_learning_rate", type=float, default=6e-4)
    parser.add_argument("--learning_rate", type=float, default=2e-4)
    parser.add_argument("--crop", type=float, default=3.0, help="seconds of each crop")
    parser.add_argument("--batch_size", type=int, default=12, help="crops a step")
    parser.add_argument("--bf16", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--log_steps", type=int, default=25)
    parser.add_argument("--save_steps", type=int, default=200)
    parser.add_argument(
        "--probe_steps", type=int, default=200, help="steps between probes; 0: none"
    )
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(argv)


def run(args: argparse.Namespace, command: str) -> None:
    """Distil, save the student and its feature extractor, draw the curves."""
    set_seed(args.seed)
    args.output.mkdir(parents=True, exist_ok=True)
    config = HubertConfig.from_json_file(str(args.student))
    if args.num_hidden_layers is not None:
        config.num_hidden_layers = args.num_hidden_layers
    teacher = load_teacher(args.teacher)
    clips, faults = decode_corpus(load_corpus(args.data), SAMPLING_RATE, args.cache_dir)
    print_faults(faults)
    splits = {
        name: cut_long(rows, SAMPLING_RATE, args.cache_dir)[0]
        for name, rows in split_corpus(clips).items()
    }
    training = splits["train"].with_format("numpy")
    crops = Crops(list(training["samples"]), args.crop, args.batch_size, args.seed)
    print(f"{len(training)} training clips, {len(crops.stream) / SAMPLING_RATE / 3600:.2f} h")
    done = args.front_end_steps + args.steps
    speech = torch.cat([crops(done + n) for n in range(FITTING_BATCHES)])
    student = build_student(config, teacher, speech)
    for module in fixed_modules(student, teacher):
        module.requires_grad_(False)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    teacher.to(device)
    pupil = Pupil(student, teacher.width).to(device)
    print(f"student: {student.num_parameters() / 1e6:.1f} M parameters, device: {device.type}")
    pairs = paired_states(config.num_hidden_layers, teacher)
    speech = speech.to(device)
    with torch.no_grad():
        everything = teacher(speech, pairs[-1])
    targets = [everything[n] for n in pairs]
    scales = channel_scales(targets)
    student.train()
    student.config.apply_spec_augment = False
    probe = Probe(splits, args)
    for stage in ("front_end", "layers"):
        train_stage(pupil, teacher, crops, scales, probe, args, stage)
    student.config.apply_spec_augment = True
    with torch.no_grad():
        states = pupil(speech, len(pairs) - 1, bf16=False)
        errors = relative_errors(states, targets, scales).tolist()
    print("squared error over variance: " + " ".join(f"{error:.3f}" for error in errors))
    if args.probe_steps and (args.steps % args.probe_steps or not args.steps):
        probe(student, args.steps)
    student.save_pretrained(args.output)
    Wav2Vec2FeatureExtractor(
        sampling_rate=SAMPLING_RATE,
        do_normalize=True,
        return_attention_mask=config.feat_extract_norm == "layer",
    ).save_pretrained(args.output)
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
    print(f"student saved in {args.output}")


def main(argv: list[str] | None = None) -> int:
    """Run; return the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    try:
        run(parse_args(argv), shlex.join(["python", "train/distill.py", *argv]))
    except EmoListenError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
