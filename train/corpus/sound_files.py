"""Which files are sound, by their suffix, and what a corpus says of each."""

from __future__ import annotations

from pathlib import Path

from emo_listen.decoding.suffixes import FOLDER_SUFFIXES

ClipRow = tuple[Path, str, str | None, str | None]
"""A clip's file, label, speaker and split; None where the corpus does not say."""


def audio_files(folder: Path) -> list[Path]:
    """Audio files directly in `folder`, recognised by their suffix, sorted."""
    return sorted(
        file
        for file in folder.iterdir()
        if file.suffix.casefold() in FOLDER_SUFFIXES and file.is_file()
    )
