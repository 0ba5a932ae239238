"""Measure the time that storing the frozen layers' outputs saves in each epoch.

With frozen layers, most computations of an epoch have the same result every time. The model has
HuBERT-base's shape and random weights (speed does not depend on them); the sound is real. Steps
from sound and from stored outputs alternate on one thread. It prints medians of CPU seconds, which
other processes hardly affect:

    python train/studies/measure_trunk.py --data data/crema-d --trainable_layers 2
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import emo_listen  # noqa: F401  First, since it turns telemetry off.

# isort: split
import torch
from transformers import HubertConfig, HubertForSequenceClassification

from train.backbones.load import default_extractor
from train.common.command import command_parser, exits_with_code
from train.corpus.audio_cache import decode_corpus
from train.corpus.load import load_corpus
from train.corpus.long_recordings import cut_long
from train.trainer.clips import Clips, Collator
from train.trainer.frozen_trunk import freeze, store_trunk_outputs


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = command_parser(__doc__)
    parser.add_argument("--data", required=True, help="corpus, as finetune.py takes it")
    parser.add_argument("--trainable_layers", type=int, default=2, help="as in finetune.py")
    parser.add_argument("--batches", type=int, default=6, help="batches of each kind")
    parser.add_argument("--batch_size", type=int, default=8, help="clips per batch")
    parser.add_argument("--epochs", type=int, default=5, help="epochs of the run in the result")
    return parser.parse_args(argv)


def step_seconds(model: Any, optimizer: torch.optim.Optimizer, batch: dict[str, Any]) -> float:
    """CPU seconds of one optimizer step."""
    start = time.process_time()
    model(**batch).loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return time.process_time() - start


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Measure, and return CPU seconds per clip."""
    torch.set_num_threads(1)
    config = HubertConfig(num_labels=6)
    extractor = default_extractor(config)
    corpus = load_corpus(args.data).shuffle(seed=0)
    corpus = corpus.select(range(min(len(corpus), args.batches * args.batch_size)))
    torch.manual_seed(0)
    model = HubertForSequenceClassification(config)
    freeze(model, args.trainable_layers)
    with tempfile.TemporaryDirectory() as folder:
        decoded, _ = decode_corpus(corpus, extractor.sampling_rate, Path(folder))
        decoded, _ = cut_long(decoded, extractor.sampling_rate, Path(folder))
        names = sorted(set(decoded["label"]))
        clips = Clips(decoded, {name: i for i, name in enumerate(names)}, extractor)
        start = time.process_time()
        stored = store_trunk_outputs(model, clips, Path(folder), torch.device("cpu"), "sampled")
        once = (time.process_time() - start) / len(clips)

        model.train()
        optimizer = torch.optim.AdamW(p for p in model.parameters() if p.requires_grad)
        collate = Collator()
        order = sorted(range(len(clips)), key=lambda i: clips.whole_lengths[i])
        times: dict[str, list[float]] = {"sound": [], "stored": []}
        for first in range(0, len(order), args.batch_size):
            rows = order[first : first + args.batch_size]
            for name, dataset in (("sound", clips), ("stored", stored)):
                batch = collate([dataset[i] for i in rows])
                batch.pop("lengths")
                if first == 0:
                    step_seconds(model, optimizer, batch)  # warm-up
                times[name].append(step_seconds(model, optimizer, batch) / len(rows))
    sound, from_stored = (statistics.median(times[name]) for name in ("sound", "stored"))
    return {
        "trainable_layers": args.trainable_layers,
        "clips": len(clips),
        "seconds_of_sound_per_clip": float(clips.whole_lengths.sum())
        / len(clips)
        / extractor.sampling_rate,
        "step_from_sound": sound,
        "step_from_stored": from_stored,
        "storing_once": once,
        "epoch_ratio": sound / from_stored,
        "epochs": args.epochs,
        "run_ratio": args.epochs * sound / (once + args.epochs * from_stored),
    }


@exits_with_code
def main(argv: list[str] | None = None) -> None:
    """Run from the command line."""
    found = run(parse_args(argv))
    print(
        f"CPU seconds per clip (mean {found['seconds_of_sound_per_clip']:.2f} s of sound), medians:"
    )
    print(f"  a training step from sound           {found['step_from_sound']:.3f}")
    print(f"  a training step from stored outputs  {found['step_from_stored']:.3f}")
    print(f"  storing the outputs, once            {found['storing_once']:.3f}")
    print(f"An epoch is {found['epoch_ratio']:.1f} times faster,")
    print(f"a run of {found['epochs']} epochs {found['run_ratio']:.1f} times.")
    print(json.dumps(found))


if __name__ == "__main__":
    sys.exit(main())
