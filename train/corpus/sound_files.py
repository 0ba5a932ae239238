"""Which files are sound, judged by their suffix, and what a corpus says about each."""

from __future__ import annotations

from pathlib import Path

from emo_listen.decoding.suffixes import FOLDER_SUFFIXES

ClipRow = tuple[Path, str, str | None, str | None]
"""A clip's file, label, speaker and split; None where the corpus does not say."""


def audio_files(folder: Path) -> list[Path]:
    """Sound files directly in `folder`, sorted."""
    return sorted(
        file
        for file in folder.iterdir()
        if file.suffix.casefold() in FOLDER_SUFFIXES and file.is_file()
    )
