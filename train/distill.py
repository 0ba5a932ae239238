"""Teach a compact `HubertModel` to reproduce a Whisper encoder's hidden states.

Why: no HuBERT is as small and as good as the encoder inside Whisper-base, and Whisper's encoder
takes spectrograms. The student takes the raw waveform, begins with the teacher's own layers
(`student.py`), and learns what differs: first the front end alone, which is cheap, then all.

    python train/distill.py --teacher openai/whisper-base --student train/student_compact.json \
        --data ../shared/crema-d --output runs/student

Only the corpus's training speakers are heard, without their labels. A stopped run continues when
the same command is given again. The folder then serves as `finetune.py --base_model`.
"""

from __future__ import annotations

import argparse
import json
import math
import shlex
import sys
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm
from transformers import HubertConfig, HubertModel, Wav2Vec2FeatureExtractor, set_seed

from audio_cache import decode_corpus, print_faults, to_float
from corpora import load_corpus
from emo_listen.errors import EmoListenError
from emo_listen.settings import ModelSettings
from plots import plot_distillation
from provenance import public_name
from splits import split_corpus
from student import build_student, steady_positions
from teacher import Teacher, load_teacher

SAMPLING_RATE = 16000
STATE_FILE = "training_state.pt"
LOG_FILE = "distill.jsonl"

POSITION_LR_SCALE = 0.1
"""Learning rate of the positional convolution over that of the rest: each of its many taps weighs
a large constant (`student.OFFSET`), so that small steps already shake the positions."""


def hidden_states(
    student: HubertModel, input_values: torch.Tensor, depth: int, bf16: bool
) -> list[torch.Tensor]:
    """Run the student up to hidden state `depth`; each `(batch, frames, width)`, front end fp32."""
    features = student.feature_extractor(input_values).transpose(1, 2)
    projected = student.feature_projection(features)
    states = [projected + student.encoder.pos_conv_embed(projected)]
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        for layer in student.encoder.layers[:depth]:
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
        samples = to_float(np.stack([self.stream[s : s + self.length] for s in starts]))
        samples -= samples.mean(axis=1, keepdims=True)
        samples /= np.sqrt(samples.var(axis=1, keepdims=True) + 1e-7)
        return torch.from_numpy(samples)


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
            ((mine.float() - theirs.float()) / scale).square().mean()
            for mine, theirs, scale in zip(student, teacher, scales, strict=True)
        ]
    )


@torch.no_grad()
def channel_scales(teacher: Teacher, input_values: torch.Tensor) -> list[torch.Tensor]:
    """Return each hidden state's standard deviation by channel, `(width,)`, of the teacher's."""
    return [state.flatten(0, 1).std(dim=0).clamp(min=1e-3) for state in teacher(input_values)]


def learning_rate_at(step: int, steps: int, peak: float) -> float:
    """Linear warm-up over the first 50 steps, then cosine decay to zero."""
    return peak * min(1.0, (step + 1) / 50) * 0.5 * (1 + math.cos(math.pi * step / steps))


def train_stage(
    student: HubertModel,
    teacher: Teacher,
    crops: Crops,
    scales: list[torch.Tensor],
    args: argparse.Namespace,
    stage: str,
) -> None:
    """Train one stage: `front_end` (hidden state 0 alone) or `layers` (all hidden states)."""
    front_end = stage == "front_end"
    steps = args.front_end_steps if front_end else args.steps
    depth = 0 if front_end else teacher.depth
    peak = args.front_end_learning_rate if front_end else args.learning_rate
    named = [(n, p) for n, p in student.named_parameters() if not (front_end and ".layers." in n)]
    trained = [p for _, p in named]
    positions = [p for n, p in named if "pos_conv_embed" in n]
    others = [p for n, p in named if "pos_conv_embed" not in n]
    optimizer = torch.optim.AdamW(
        [{"params": others, "scale": 1.0}, {"params": positions, "scale": POSITION_LR_SCALE}],
        betas=(0.9, 0.98),
        weight_decay=0.0,
    )
    first = 0
    state_path = args.output / f"{stage}-{STATE_FILE}"
    if state_path.is_file():
        state = torch.load(state_path, weights_only=True)
        student.load_state_dict(state["student"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["step"]
    offset = 0 if front_end else args.front_end_steps
    progress = tqdm(range(first, steps), initial=first, total=steps, desc=stage, unit="step")
    running: list[np.ndarray] = []
    for step in progress:
        input_values = crops(offset + step)
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=args.bf16):
            targets = teacher(input_values, depth)
        states = hidden_states(student, input_values, depth, args.bf16)
        errors = relative_errors(states, targets, scales[: depth + 1])
        for group in optimizer.param_groups:
            group["lr"] = group["scale"] * learning_rate_at(step, steps, peak)
        optimizer.zero_grad(set_to_none=True)
        errors.mean().backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        running.append(errors.detach().numpy())
        if (step + 1) % args.log_steps == 0 or step + 1 == steps:
            mean = np.mean(running, axis=0)
            running.clear()
            progress.set_postfix_str(" ".join(f"{error:.3f}" for error in mean))
            with (args.output / LOG_FILE).open("a", encoding="utf-8") as log:
                row = {
                    "stage": stage,
                    "step": step + 1,
                    "errors": [round(float(e), 5) for e in mean],
                }
                log.write(json.dumps(row) + "\n")
        if (step + 1) % args.save_steps == 0 or step + 1 == steps:
            state = {
                "student": student.state_dict(),
                "optimizer": optimizer.state_dict(),
                "step": step + 1,
            }
            torch.save(state, state_path.with_suffix(".tmp"))
            state_path.with_suffix(".tmp").replace(state_path)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--teacher", default="openai/whisper-base", help="folder or hub id")
    parser.add_argument("--student", type=Path, required=True, help="HubertConfig as JSON")
    parser.add_argument("--data", required=True, help="as in finetune.py; its labels are not used")
    parser.add_argument("--output", type=Path, required=True, help="folder of the student")
    parser.add_argument("--cache_dir", type=Path, default=Path(".cache/train"))
    parser.add_argument("--front_end_steps", type=int, default=1300, help="steps of stage 1")
    parser.add_argument("--steps", type=int, default=200, help="steps of stage 2")
    parser.add_argument("--front_end_learning_rate", type=float, default=6e-4)
    parser.add_argument("--learning_rate", type=float, default=2e-4)
    parser.add_argument("--crop", type=float, default=3.0, help="seconds of each crop")
    parser.add_argument("--batch_size", type=int, default=12, help="crops a step")
    parser.add_argument("--bf16", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--log_steps", type=int, default=25)
    parser.add_argument("--save_steps", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(argv)


def run(args: argparse.Namespace, command: str) -> None:
    """Distil, save the student and its feature extractor, draw the curves."""
    set_seed(args.seed)
    args.output.mkdir(parents=True, exist_ok=True)
    config = HubertConfig.from_json_file(str(args.student))
    teacher = load_teacher(args.teacher, config.num_hidden_layers)
    clips, faults = decode_corpus(load_corpus(args.data), SAMPLING_RATE, args.cache_dir)
    print_faults(faults)
    training = split_corpus(clips)["train"].with_format("numpy")
    crops = Crops(list(training["samples"]), args.crop, args.batch_size, args.seed)
    print(f"{len(training)} training clips, {len(crops.stream) / SAMPLING_RATE / 3600:.2f} h")
    speech = crops(args.front_end_steps + args.steps)
    student = build_student(config, teacher.encoder, speech)
    print(f"student: {student.num_parameters() / 1e6:.1f} M parameters")
    scales = channel_scales(teacher, speech)
    student.train()
    student.config.apply_spec_augment = False
    train_stage(student, teacher, crops, scales, args, "front_end")
    train_stage(student, teacher, crops, scales, args, "layers")
    student.config.apply_spec_augment = True
    steady_positions(student)
    student.save_pretrained(args.output)
    Wav2Vec2FeatureExtractor(
        sampling_rate=SAMPLING_RATE, do_normalize=True, return_attention_mask=True
    ).save_pretrained(args.output)
    log = [json.loads(line) for line in (args.output / LOG_FILE).read_text().splitlines()]
    plot_distillation(log, args.output / "distillation.png")
    ModelSettings(
        origin={
            "teacher": public_name(args.teacher),
            "data": f"{public_name(args.data)}, {len(training)} training clips, labels unused",
            "command": command,
            "squared_error_over_variance": log[-1]["errors"],
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
