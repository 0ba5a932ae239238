r"""Write soft labels: the class probabilities that fine-tuned models give the training clips.

Another model learns them in addition to the labels: they show which emotions a clip is close to
(Hinton et al. 2015, "Distilling the knowledge in a neural network"). With several models, it writes
the mean of their probabilities:

    python train/soft_labels.py runs/teacher1 runs/teacher2 \
        --data data/crema-d --output runs/soft_labels.csv
    python train/finetune.py train/recipes/crema_d_compact.yaml \
        --soft_labels runs/soft_labels.csv

Models are overconfident on the clips that they were trained on; a --temperature above 1 makes the
probabilities more even.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import emo_listen  # noqa: F401  First, since it turns telemetry off.

# isort: split
import numpy as np
import torch

from emo_listen.errors import CorpusError, ModelError
from train.backbones.load import load_classifier, load_extractor
from train.common.command import command_parser, exits_with_code
from train.corpus.audio_cache import add_cache_dir
from train.corpus.clip_table import add_columns, columns_of
from train.corpus.load import load_corpus
from train.corpus.long_recordings import logits_by_recording
from train.corpus.prepare import prepare_corpus
from train.corpus.soft_label_table import write_soft_labels
from train.evaluation.scoring import logits_of_clips
from train.trainer.clips import Clips


def run(args: argparse.Namespace) -> None:
    """Write the mean of all models' probabilities.

    Raises:
        CorpusError: the corpus cannot be used, or the models can use different clips of it.
        ModelError: a model cannot be loaded, or has other classes than the corpus.
    """
    if args.temperature <= 0:
        raise ModelError(f"--temperature {args.temperature} must be above 0.")
    device = torch.device(args.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    corpus = load_corpus(args.data, columns=columns_of(args))
    by_model: list[np.ndarray] = []
    names: list[str] = []
    label_names: list[str] = []
    for folder in args.models:
        extractor = load_extractor(folder)
        model = load_classifier(folder)
        prepared = prepare_corpus(
            corpus, extractor.sampling_rate, args.cache_dir, without_ambiguous=True
        )
        label_names = prepared.label_names
        label2id = model.config.label2id
        if sorted(label2id) != label_names:
            raise ModelError(
                f"{folder} has the classes {', '.join(sorted(label2id))}, the corpus has "
                f"{', '.join(label_names)}: give models that were trained on it."
            )
        clip_names = list(prepared.splits["train"]["name"])
        if names and names != clip_names:
            raise CorpusError(
                "The models' sampling rates differ, and not the same clips can be used at each: "
                "give models of one sampling rate."
            )
        names = clip_names
        rows, recordings = prepared.windows("train")
        clips = Clips(rows, label2id, extractor, recordings=recordings)
        probabilities = recording_probabilities(model, clips, args.temperature, device)
        by_model.append(probabilities[:, [label2id[name] for name in label_names]])
    write_soft_labels(args.output, names, label_names, np.mean(by_model, axis=0))
    print(f"Soft labels of {len(names)} training clips: {args.output}")


def recording_probabilities(
    model: Any, clips: Clips, temperature: float, device: torch.device
) -> np.ndarray:
    """Probabilities (n_recordings, n_classes) of a model in float32, each recording run alone."""
    logits = logits_of_clips(model.to(device), clips, device, "Soft labels") / temperature
    by_recording = logits_by_recording(logits.numpy(), clips.recordings)
    return torch.from_numpy(by_recording).softmax(dim=1).numpy()


def parse_args(argv: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = command_parser(__doc__)
    parser.add_argument("models", nargs="+", help="checkpoint folders that finetune.py wrote")
    parser.add_argument("--data", required=True, help="corpus, as finetune.py takes it")
    add_columns(parser)
    parser.add_argument("--output", type=Path, required=True, help="CSV to write")
    parser.add_argument(
        "--temperature", type=float, default=1.0, help="divisor of the models' logits (default: 1)"
    )
    add_cache_dir(parser)
    parser.add_argument("--device", help="cpu, cuda, … (default: cuda if there is one)")
    return parser.parse_args(argv)


@exits_with_code
def main(argv: list[str] | None = None) -> None:
    """Run from the command line."""
    run(parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
