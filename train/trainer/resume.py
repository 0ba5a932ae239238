"""Which checkpoint a run continues from."""

from __future__ import annotations

import shutil
from pathlib import Path

from transformers.trainer_utils import get_last_checkpoint

from emo_listen.errors import ModelError
from train.trainer.emotion_trainer import ClipTrainingArguments
from train.trainer.weight_average import WEIGHTS_FILE


def checkpoint_to_resume(args: ClipTrainingArguments) -> str | None:
    """Return the checkpoint of `--resume_from_checkpoint`; `true` and `last` mean the newest.

    With `--overwrite_output_dir`, old checkpoints are removed.

    Raises:
        ModelError: it does not exist, or checkpoints of two runs would be mixed.
    """
    output_dir = Path(args.output_dir or "")
    newest = get_last_checkpoint(str(output_dir)) if output_dir.is_dir() else None
    wanted = args.resume_from_checkpoint
    if wanted is not None and str(wanted).lower() != "false":
        if str(wanted).lower() in ("true", "last"):
            wanted = newest
        if wanted is None or not Path(wanted).is_dir():
            raise ModelError(
                f"There is no checkpoint to resume from in {wanted or output_dir}: omit "
                "--resume_from_checkpoint to start from the beginning."
            )
        averaged = (Path(wanted) / WEIGHTS_FILE).is_file()
        if averaged != (args.average_decay > 0):
            instead = "with" if averaged else "without"
            raise ModelError(
                f"{wanted} was trained {instead} --average_decay: resume it {instead} that option."
            )
        return str(wanted)
    if newest is not None:
        if not args.overwrite_output_dir:
            raise ModelError(
                f"{output_dir} has checkpoints of another run. Pass --resume_from_checkpoint last "
                "to continue it, --overwrite_output_dir to remove them, or another --output_dir."
            )
        if args.process_index == 0:
            for old in output_dir.glob("checkpoint-*"):
                shutil.rmtree(old)
    return None
