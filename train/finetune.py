r"""Fine-tune a HuBERT, wav2vec 2.0 or WavLM into an emotion classifier.

It splits labelled clips by speaker, trains a classifier with transformers' Trainer, scores it on
speakers that it was not trained on, and writes a checkpoint folder for `export/to_onnx.py`. All
options of `TrainingArguments` work, on the command line or in a JSON or YAML file, whose values
later options override:

    python train/finetune.py train/recipes/crema_d.yaml
    python train/finetune.py train/recipes/crema_d.yaml --data data/crema-d \
        --num_train_epochs 10
    python train/finetune.py --data my.csv --base-model ./hubert --trainable_layers -1 --use_cpu
    accelerate launch --multi_gpu --num_processes 4 train/finetune.py train/recipes/crema_d.yaml

For two processes on a CPU, use the same command with `--use_cpu` (`accelerate launch --cpu` starts
only one unless MPI is installed; the number of processes is printed):

    accelerate launch --multi_gpu --num_processes 2 train/finetune.py train/recipes/crema_d.yaml \
        --use_cpu

`--output_dir` gets the checkpoint, `metrics.json`, `confusion_matrix.png`,
`learning_curves.png`, `emo_listen.json` and a model card.
"""

from __future__ import annotations

import io
import shlex
import sys
from contextlib import nullcontext, redirect_stdout
from importlib.metadata import version
from pathlib import Path
from typing import Any

import emo_listen  # noqa: F401  First, since it turns telemetry off.

# isort: split
import numpy as np
from transformers import EarlyStoppingCallback, PreTrainedModel, SequenceFeatureExtractor, set_seed

from emo_listen.errors import ModelError
from train.backbones.load import load_config, load_extractor, load_with_new_head
from train.common.command import exits_with_code
from train.corpus.clip_table import columns_of
from train.corpus.joined import load_corpora
from train.corpus.long_recordings import print_cut
from train.corpus.prepare import PreparedCorpus, prepare_corpus
from train.corpus.provenance import origin_of, public_name
from train.corpus.soft_label_table import read_soft_label_rows, read_soft_labels
from train.corpus.splits import print_splits
from train.evaluation.metrics import ClassifierMetrics
from train.evaluation.relative_metrics import RelativeMetrics
from train.evaluation.scoring import score_checkpoint
from train.report.model_card import Training
from train.report.write import write_report
from train.trainer.augment import Augmentation
from train.trainer.base_model import choose_base_model
from train.trainer.clips import Clips, Collator
from train.trainer.emotion_trainer import (
    ClipTrainer,
    ClipTrainingArguments,
    limit_to_run,
    total_steps,
)
from train.trainer.finetune_options import (
    FinetuneArguments,
    chosen_options,
    parse_args,
    window_range,
)
from train.trainer.frozen_trunk import cacheable, check_trained_layers, freeze, store_trunk_outputs
from train.trainer.option_checks import check_metric, check_report_to
from train.trainer.resume import checkpoint_to_resume
from train.trainer.step_memory import check_memory
from train.trainer.voice_trainer import VoiceTrainer
from train.trainer.voices import Voices
from train.trainer.weight_average import average_runs, check_runs, load_runs


def run(own: FinetuneArguments, args: ClipTrainingArguments, command: str) -> None:
    """Train and score one model, and write its checkpoint and report.

    Raises:
        CorpusError: an option or the corpus cannot be used.
        ModelError: an option or the base model cannot be used.
    """
    if own.early_stopping_patience and not args.load_best_model_at_end:
        raise ModelError("--early_stopping_patience needs --load_best_model_at_end true.")
    check_report_to(args.report_to)
    resume = checkpoint_to_resume(args)
    other_runs = load_runs(own.average_with)
    base_model = choose_base_model(own.base_model)
    extractor = load_extractor(base_model)
    n_layers = getattr(load_config(base_model), "num_hidden_layers", None)
    if n_layers is not None:
        check_trained_layers(own.trainable_layers, n_layers)
    vary = None
    if own.augment:
        vary = Augmentation(
            own.augment, extractor.sampling_rate, args.seed, own.noise_dir, own.babble_dir
        )
    corpus, n_listed = prepare(own, args, extractor.sampling_rate)

    set_seed(args.seed)
    model = load_with_new_head(base_model, corpus.label_names, own.weighted_layer_sum)
    check_runs(other_runs, model)
    freeze(model, own.trainable_layers)
    label2id = {name: i for i, name in enumerate(corpus.label_names)}
    clips = {}
    for name in corpus.splits:
        rows, recordings = corpus.windows(name)
        clips[name] = Clips(rows, label2id, extractor, recordings=recordings)
    train = training_clips(own, args, corpus, extractor, vary)
    validation: Any = clips["validation"]
    if own.cache_trunk and cacheable(model.config, own.trainable_layers):
        cache_dir = Path(own.cache_dir)
        with args.main_process_first(desc="frozen layers"):
            validation = store_trunk_outputs(
                model, validation, cache_dir, args.device, "validation"
            )
            if not own.train_window and vary is None:
                train = store_trunk_outputs(model, train, cache_dir, args.device, "train")
    trainer = (VoiceTrainer if own.relative_to else ClipTrainer)(
        model=model,
        args=args,
        train_dataset=train,
        eval_dataset=validation,
        processing_class=extractor,
        data_collator=Collator(),
        compute_metrics=metrics_for(own, corpus, clips["validation"]),
        callbacks=[EarlyStoppingCallback(own.early_stopping_patience)]
        if own.early_stopping_patience
        else None,
    )
    parameters = print_plan(trainer, model)
    check_memory(trainer)
    trainer.train(resume_from_checkpoint=resume)
    average_runs(model, other_runs.values())
    trainer.save_model()
    trainer.save_state()
    if args.process_index == 0:
        assert args.output_dir is not None
        scored = ("validation", "test") if own.test_at_end else ("validation",)
        scores = score_checkpoint(
            args.output_dir,
            {name: clips[name] for name in scored if name in clips},
            corpus.label_names,
            args.device,
        )
        training = Training(
            base_model=public_name(base_model),
            base_model_origin=origin_of(base_model),
            licences=own.licences,
            data=", ".join(map(public_name, own.data)),
            command=command,
            label_names=corpus.label_names,
            clips={name: len(rows) for name, rows in corpus.splits.items()},
            speakers={name: n_speakers(rows) for name, rows in corpus.splits.items()},
            left_out=n_listed - sum(len(rows) for rows in corpus.splits.values()),
            trained=f"{parameters} parameters trained, --trainable_layers {own.trainable_layers}",
            steps=trainer.state.global_step,
            epochs=round(trainer.state.epoch or 0, 2),
            seed=args.seed,
            options=chosen_options(own, args),
            versions={name: version(name) for name in ("torch", "transformers", "datasets")},
        )
        write_report(Path(args.output_dir), training, scores, trainer.state.log_history)
    trainer.accelerator.wait_for_everyone()


def prepare(
    own: FinetuneArguments, args: ClipTrainingArguments, sampling_rate: int
) -> tuple[PreparedCorpus, int]:
    """Prepare the corpora, check options against their classes, and count their listed clips."""
    with args.main_process_first(desc="decoding"):
        listed = load_corpora(own.data, own.final_splits, columns_of(own))
        check_metric(args.metric_for_best_model, listed["label"])
        if own.soft_labels:
            read_soft_label_rows(Path(own.soft_labels), sorted(set(listed["label"])))
        corpus = prepare_corpus(listed, sampling_rate, Path(own.cache_dir), without_ambiguous=True)
        windows = {name: corpus.windows(name) for name in corpus.splits}
    check_metric(args.metric_for_best_model, corpus.splits["validation"]["label"])
    print_splits(corpus.splits)
    print_cut(corpus.splits, windows)
    return corpus, len(listed)


def training_clips(
    own: FinetuneArguments,
    args: ClipTrainingArguments,
    corpus: PreparedCorpus,
    extractor: SequenceFeatureExtractor,
    vary: Augmentation | None,
) -> Any:
    """Make the dataset of training clips, cut, augmented and with soft labels as asked for."""
    rows, recordings = corpus.windows("train")
    label2id = {name: i for i, name in enumerate(corpus.label_names)}
    window = window_range(own.train_window)
    train: Any
    if own.relative_to:
        assert window is not None
        size = args.train_batch_size
        train = Voices(rows, label2id, own.relative_to, extractor, window, size, vary, args.seed)
    else:
        train = Clips(rows, label2id, extractor, window, vary, args.seed, recordings)
    if own.soft_labels:
        clips = corpus.splits["train"]
        soft_labels = read_soft_labels(
            Path(own.soft_labels), list(clips["name"]), corpus.label_names, list(clips["corpus"])
        )
        train.soft_labels = soft_labels[recordings]
        n_soft = int((~np.isnan(soft_labels[:, 0])).sum())
        print(f"Soft labels: {n_soft} of {len(clips)} training clips")
    return train


def metrics_for(
    own: FinetuneArguments, corpus: PreparedCorpus, validation: Clips
) -> ClassifierMetrics:
    """Metrics of the validation clips, relative to their speakers with `--relative_to`."""
    if not own.relative_to:
        return ClassifierMetrics(corpus.label_names, validation.recordings)
    clips = corpus.splits["validation"]
    return RelativeMetrics(
        corpus.label_names,
        validation.recordings,
        own.relative_to,
        list(clips["corpus"]),
        list(clips["speaker"]),
    )


def print_plan(trainer: ClipTrainer, model: PreTrainedModel) -> str:
    """Print the size of the run; return the numbers of trained and of all parameters."""
    args = trainer.args
    n_trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    parameters = f"{n_trained:,} of {sum(p.numel() for p in model.parameters()):,}"
    clips_per_step = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
    steps = total_steps(trainer)
    changes = limit_to_run(args, steps)
    print(f"Trained parameters: {parameters}")
    print(
        f"Processes: {args.world_size}, device: {args.device.type}, "
        f"clips per step: {clips_per_step}"
    )
    print(f"Optimizer steps: {steps:,}")
    print("\n".join(changes), end="\n" if changes else "")
    return parameters


def n_speakers(rows: Any) -> int:
    """Count known speakers."""
    return len({speaker for speaker in rows["speaker"] if speaker is not None})


@exits_with_code
def main(argv: list[str] | None = None) -> None:
    """Run from the command line."""
    argv = sys.argv[1:] if argv is None else argv
    own, args = parse_args(argv)
    with nullcontext() if args.process_index == 0 else redirect_stdout(io.StringIO()):
        run(own, args, shlex.join(["python", "train/finetune.py", *argv]))


if __name__ == "__main__":
    sys.exit(main())
