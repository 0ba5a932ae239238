"""Which files are sound, told by their suffix, and what a corpus tells of each."""

from __future__ import annotations

from pathlib import Path

import soundfile

AUDIO_SUFFIXES = {f".{name.lower()}" for name in soundfile.available_formats()} | {
    ".aif",
    ".aifc",
    ".oga",
    ".opus",
}

ClipRow = tuple[Path, str, str | None, str | None]
"""A clip's file, label, speaker and split; None where the corpus does not tell."""


def audio_files(folder: Path) -> list[Path]:
    """Files directly in `folder` that soundfile may read, told by their suffix, sorted."""
    return sorted(
        file
        for file in folder.iterdir()
        if file.suffix.lower() in AUDIO_SUFFIXES and file.is_file()
    )
