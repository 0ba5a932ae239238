"""Which model fine-tuning starts from: the one that was named, HuBERT-base, or the clone's own."""

from __future__ import annotations

from transformers import AutoConfig

from emo_listen.errors import ModelError
from train.corpus.places import BUNDLED_CHECKPOINT

BUNDLED = "bundled"
"""What `--base_model` calls the checkpoint in the clone."""

HUBERT_BASE = "facebook/hubert-base-ls960"
"""Where fine-tuning starts where nothing else is named and a model hub can be reached."""


def choose_base_model(base_model: str | None) -> str:
    """Hub id or folder to start from.

    Args:
        base_model: what was named; None leaves the choice.

    Raises:
        ModelError: the clone's checkpoint is wanted and absent.
    """
    if base_model is None:
        try:
            AutoConfig.from_pretrained(HUBERT_BASE)
            return HUBERT_BASE
        except OSError:
            print(f"{HUBERT_BASE} cannot be reached: starting from the bundled model's checkpoint.")
    elif base_model != BUNDLED:
        return base_model
    if not (BUNDLED_CHECKPOINT / "config.json").is_file():
        raise ModelError(
            f"The bundled model's checkpoint is not in {BUNDLED_CHECKPOINT}: give --base_model a "
            "folder with weights, or a hub id that can be reached."
        )
    return str(BUNDLED_CHECKPOINT)
