"""Which model fine-tuning starts from: the chosen one, HuBERT-base, or the clone's checkpoint."""

from __future__ import annotations

from transformers import AutoConfig

from emo_listen.errors import ModelError
from train.corpus.places import BUNDLED_CHECKPOINT

BUNDLED = "bundled"
"""Value of `--base_model` for the checkpoint in the clone."""

HUBERT_BASE = "facebook/hubert-base-ls960"
"""Default base model if a model hub can be reached."""


def choose_base_model(base_model: str | None) -> str:
    """Return the hub id or folder to start from.

    Args:
        base_model: value of the option; None for the default.

    Raises:
        ModelError: the clone's checkpoint is needed and missing.
    """
    if base_model is None:
        try:
            AutoConfig.from_pretrained(HUBERT_BASE)
            return HUBERT_BASE
        except OSError:
            print(f"{HUBERT_BASE} cannot be reached; starting from the bundled model's checkpoint.")
    elif base_model != BUNDLED:
        return base_model
    if not (BUNDLED_CHECKPOINT / "config.json").is_file():
        raise ModelError(
            f"The bundled model's checkpoint is not in {BUNDLED_CHECKPOINT}: set --base_model to a "
            "folder with weights, or to a hub id that can be reached."
        )
    return str(BUNDLED_CHECKPOINT)
