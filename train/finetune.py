"""Fine-tune a HuBERT (or wav2vec 2.0, WavLM) into an emotion classifier.

What: takes labelled clips of speech, splits them by speaker, trains a classifier with
transformers' Trainer, scores it on speakers it never heard, and leaves a checkpoint folder that
`export/to_onnx.py` takes. Every option of `TrainingArguments` works, from the command line or
from a JSON or YAML file, whose values options after it override:

    python train/finetune.py train/recipes/crema_d.yaml
    python train/finetune.py train/recipes/crema_d.yaml --data ../shared/crema-d \
        --num_train_epochs 10
    python train/finetune.py --data my.csv --base-model ./hubert --trainable_layers -1 --use_cpu
    accelerate launch --multi_gpu --num_processes 4 train/finetune.py train/recipes/crema_d.yaml

Two processes on a CPU are the same command with `--use_cpu` (`accelerate launch --cpu` starts one
process only, unless MPI is installed; what runs is printed):

    accelerate launch --multi_gpu --num_processes 2 train/finetune.py train/recipes/crema_d.yaml \
        --use_cpu

`--output_dir` gets the checkpoint, `metrics.json`, `confusion_matrix.png`,
`learning_curves.png`, `emo_listen.json` and a model card.
"""

from __future__ import annotations

import io
import shlex
import shutil
import sys
from contextlib import nullcontext, redirect_stdout
from importlib.metadata import version
from pathlib import Path
from typing import Any

import emo_listen  # noqa: F401  First, since it turns telemetry off.

# isort: split
import numpy as np
import torch
from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoModelForAudioClassification,
    EarlyStoppingCallback,
    PreTrainedModel,
    SequenceFeatureExtractor,
    Wav2Vec2FeatureExtractor,
    set_seed,
)
from transformers.trainer_utils import get_last_checkpoint

from emo_listen.errors import EmoListenError, ModelError
from train.corpus.audio_cache import decode_corpus, print_faults
from train.corpus.clip_table import columns_of
from train.corpus.joined import load_corpora
from train.corpus.long_recordings import cut_long, tell_cut
from train.corpus.provenance import origin_of, public_name
from train.corpus.splits import leave_out_ambiguous, print_splits, split_corpus
from train.evaluation.metrics import ClassifierMetrics
from train.evaluation.relative_metrics import RelativeMetrics
from train.evaluation.scoring import Score, score_checkpoint
from train.report.model_card import Training
from train.report.write import write_report
from train.soft_labels import read_soft_labels, read_table
from train.trainer.augment import Augmentation
from train.trainer.base_model import BUNDLED, choose_base_model
from train.trainer.clips import Clips, Collator
from train.trainer.emotion_trainer import (
    ClipTrainer,
    ClipTrainingArguments,
    keep_within,
    steps_to_come,
)
from train.trainer.finetune_options import (
    FinetuneArguments,
    chosen_options,
    parse_args,
    window_range,
)
from train.trainer.frozen_trunk import cacheable, check_trained_layers, freeze, store_trunk_outputs
from train.trainer.option_checks import check_metric, check_report_to
from train.trainer.step_memory import check_memory
from train.trainer.voice_trainer import VoiceTrainer
from train.trainer.voices import Voices
from train.trainer.weight_average import WEIGHTS_FILE, average_runs, check_runs, load_runs


def load_feature_extractor(base_model: str) -> SequenceFeatureExtractor:
    """Load the base's feature extractor, or make the one that its config asks for.

    Raises:
        ModelError: there is no such base model, or it takes no waveforms.
    """
    try:
        config = AutoConfig.from_pretrained(base_model)
    except (OSError, ValueError) as error:
        raise ModelError(
            f"The base model {base_model} cannot be loaded: give --base_model a hub id that can be "
            f"reached, a folder with config.json and weights, or `{BUNDLED}` for the clone's own. "
            f"({str(error).splitlines()[0]})"
        ) from error
    try:
        extractor = AutoFeatureExtractor.from_pretrained(base_model)
    except (OSError, ValueError):
        print(f"{base_model} has no preprocessor_config.json: 16 kHz, each clip normalised.")
        return Wav2Vec2FeatureExtractor(
            return_attention_mask=getattr(config, "feat_extract_norm", "layer") == "layer"
        )
    if extractor.model_input_names[0] != "input_values" or extractor.feature_size != 1:
        raise ModelError(f"{base_model} takes no waveforms: give a HuBERT or the like.")
    return extractor


def load_model(
    base_model: str, label_names: list[str], weighted_layer_sum: bool | None = None
) -> PreTrainedModel:
    """Load the base with a new head for `label_names`; a head of another size is replaced.

    `weighted_layer_sum` None leaves it to the base's config what the head takes.

    Raises:
        ModelError: the weights cannot be loaded.
    """
    more = {}
    if weighted_layer_sum is not None:
        more["use_weighted_layer_sum"] = weighted_layer_sum
    try:
        model, found = AutoModelForAudioClassification.from_pretrained(
            base_model,
            id2label=dict(enumerate(label_names)),
            label2id={name: i for i, name in enumerate(label_names)},
            ignore_mismatched_sizes=True,
            output_loading_info=True,
            dtype=torch.float32,
            **more,
        )
    except (OSError, ValueError) as error:
        raise ModelError(f"The base model {base_model} cannot be loaded: {error}") from error
    if "layer_weights" in found["missing_keys"]:
        # transformers leaves these uninitialised but for HuBERT.
        torch.nn.init.constant_(model.layer_weights, 1 / len(model.layer_weights))
    model.config.problem_type = None  # the base's own head may have been of a regression
    return model


def checkpoint_to_resume(args: ClipTrainingArguments) -> str | None:
    """Checkpoint that `--resume_from_checkpoint` names; `true` or `last` means the newest.

    Old checkpoints are removed where `--overwrite_output_dir` says so.

    Raises:
        ModelError: it is not there, or checkpoints would be mixed with those of another run.
    """
    output_dir = Path(args.output_dir or "")
    newest = get_last_checkpoint(str(output_dir)) if output_dir.is_dir() else None
    wanted = args.resume_from_checkpoint
    if wanted is not None and str(wanted).lower() != "false":
        if str(wanted).lower() in ("true", "last"):
            wanted = newest
        if wanted is None or not Path(wanted).is_dir():
            raise ModelError(f"There is no checkpoint to resume from in {wanted or output_dir}.")
        averaged = (Path(wanted) / WEIGHTS_FILE).is_file()
        if averaged != (args.average_decay > 0):
            without = "with" if averaged else "without"
            raise ModelError(f"{wanted} was trained {without} --average_decay: resume it likewise.")
        return str(wanted)
    if newest is not None:
        if not args.overwrite_output_dir:
            raise ModelError(
                f"{output_dir} holds checkpoints of another run: give --resume_from_checkpoint "
                "last to go on with it, --overwrite_output_dir to remove them, or another "
                "--output_dir."
            )
        if args.process_index == 0:
            for old in output_dir.glob("checkpoint-*"):
                shutil.rmtree(old)
    return None


def run(own: FinetuneArguments, args: ClipTrainingArguments, command: str) -> dict[str, Score]:
    """Train and score one model; return its scores by split."""
    if own.early_stopping_patience and not args.load_best_model_at_end:
        raise ModelError("--early_stopping_patience needs --load_best_model_at_end true.")
    check_report_to(args.report_to)
    resume = checkpoint_to_resume(args)
    other_runs = load_runs(own.average_with)
    base_model = choose_base_model(own.base_model)
    cache_dir = Path(own.cache_dir)
    extractor = load_feature_extractor(base_model)
    n_layers = getattr(AutoConfig.from_pretrained(base_model), "num_hidden_layers", None)
    if n_layers is not None:
        check_trained_layers(own.trainable_layers, n_layers)
    vary = None
    if own.augment:
        vary = Augmentation(
            own.augment, extractor.sampling_rate, args.seed, own.noise_dir, own.babble_dir
        )
    with args.main_process_first(desc="decoding"):
        corpus = load_corpora(own.data, own.final_splits, columns_of(own))
        check_metric(args.metric_for_best_model, corpus["label"])
        if own.soft_labels:
            read_table(Path(own.soft_labels), sorted(set(corpus["label"])))
        decoded, faults = decode_corpus(corpus, extractor.sampling_rate, cache_dir)
        splits, ambiguous = leave_out_ambiguous(split_corpus(decoded))
        rate = extractor.sampling_rate
        windows = {name: cut_long(rows, rate, cache_dir) for name, rows in splits.items()}
    check_metric(args.metric_for_best_model, splits["validation"]["label"])
    label_names = sorted(set(decoded["label"]))
    label2id = {name: i for i, name in enumerate(label_names)}
    print_faults(faults)
    print("\n".join(ambiguous), end="\n" if ambiguous else "")
    print_splits(splits)
    tell_cut(splits, windows)

    set_seed(args.seed)
    model = load_model(base_model, label_names, own.weighted_layer_sum)
    check_runs(other_runs, model)
    freeze(model, own.trainable_layers)
    n_trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    n_total = sum(p.numel() for p in model.parameters())
    clips = {
        name: Clips(rows, label2id, extractor, recordings=recordings)
        for name, (rows, recordings) in windows.items()
    }
    rows, recordings = windows["train"]
    window = window_range(own.train_window)
    train: Any
    if own.relative_to:
        assert window is not None
        size = args.train_batch_size
        train = Voices(rows, label2id, own.relative_to, extractor, window, size, vary, args.seed)
    else:
        train = Clips(rows, label2id, extractor, window, vary, args.seed, recordings)
    if own.soft_labels:
        names = list(splits["train"]["name"])
        soft_labels = read_soft_labels(
            Path(own.soft_labels), names, label_names, list(splits["train"]["corpus"])
        )
        train.soft_labels = soft_labels[recordings]
        n_soft = len(names) - int(np.isnan(soft_labels[:, 0]).sum())
        print(f"Soft labels: {n_soft} of {len(names)} training clips")
    validation: Any = clips["validation"]
    if own.cache_trunk and cacheable(model.config, own.trainable_layers):
        with args.main_process_first(desc="frozen layers"):
            validation = store_trunk_outputs(
                model, validation, cache_dir, args.device, "validation"
            )
            if not own.train_window and vary is None:
                train = store_trunk_outputs(model, train, cache_dir, args.device, "train")
    kept = clips["validation"].recordings
    metrics = ClassifierMetrics(label_names, kept)
    if own.relative_to:
        metrics = RelativeMetrics(
            label_names,
            kept,
            own.relative_to,
            list(splits["validation"]["corpus"]),
            list(splits["validation"]["speaker"]),
        )
    trainer = (VoiceTrainer if own.relative_to else ClipTrainer)(
        model=model,
        args=args,
        train_dataset=train,
        eval_dataset=validation,
        processing_class=extractor,
        data_collator=Collator(),
        compute_metrics=metrics,
        callbacks=[EarlyStoppingCallback(own.early_stopping_patience)]
        if own.early_stopping_patience
        else None,
    )
    total_steps = steps_to_come(trainer)
    told = keep_within(args, total_steps)
    clips_a_step = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
    print(f"Parameters: {n_trained:,} trained of {n_total:,}")
    print(f"Processes: {args.world_size}, device: {args.device.type}, clips a step: {clips_a_step}")
    print(f"Optimizer steps to come: {total_steps:,}")
    print("\n".join(told), end="\n" if told else "")
    check_memory(trainer)
    trainer.train(resume_from_checkpoint=resume)
    average_runs(model, other_runs.values())
    trainer.save_model()
    trainer.save_state()
    scores: dict[str, Score] = {}
    if args.process_index == 0:
        assert args.output_dir is not None
        wanted = ("validation", "test") if own.test_at_end else ("validation",)
        scores = score_checkpoint(
            args.output_dir,
            {name: clips[name] for name in wanted if name in clips},
            label_names,
            args.device,
        )
        write_report(
            Path(args.output_dir),
            Training(
                base_model=public_name(base_model),
                base_model_origin=origin_of(base_model),
                licences=own.licences,
                data=", ".join(map(public_name, own.data)),
                command=command,
                label_names=label_names,
                clips={name: len(rows) for name, rows in splits.items()},
                speakers={name: n_speakers(rows) for name, rows in splits.items()},
                left_out=len(corpus) - sum(len(rows) for rows in splits.values()),
                trained=f"{n_trained:,} of {n_total:,} parameters trained, "
                f"--trainable_layers {own.trainable_layers}",
                steps=trainer.state.global_step,
                epochs=round(trainer.state.epoch or 0, 2),
                seed=args.seed,
                options=chosen_options(own, args),
                versions={name: version(name) for name in ("torch", "transformers", "datasets")},
            ),
            scores,
            trainer.state.log_history,
        )
    trainer.accelerator.wait_for_everyone()
    return scores


def n_speakers(rows: Any) -> int:
    """Count known speakers."""
    return len({speaker for speaker in rows["speaker"] if speaker is not None})


def main(argv: list[str] | None = None) -> int:
    """Run from the command line; return the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    try:
        own, args = parse_args(argv)
        with nullcontext() if args.process_index == 0 else redirect_stdout(io.StringIO()):
            run(own, args, shlex.join(["python", "train/finetune.py", *argv]))
    except EmoListenError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
