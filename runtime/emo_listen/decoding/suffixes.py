"""File name suffixes of audio files."""

from __future__ import annotations

import soundfile

MEDIA_SUFFIXES = frozenset({".3gp", ".aac", ".amr", ".m4a", ".mka", ".mp4", ".webm", ".wma"})
"""Suffixes of files that need PyAV or ffmpeg."""

SOUND_SUFFIXES = (
    frozenset(f".{name.casefold()}" for name in soundfile.available_formats())
    | {".aif", ".aifc", ".oga", ".opus"}
    | MEDIA_SUFFIXES
)
"""Suffixes by which a name given by a user is recognised as an audio file."""

FOLDER_SUFFIXES = SOUND_SUFFIXES - {".htk", ".mat4", ".mat5", ".raw", ".sds", ".svx", ".xi"}
"""Suffixes by which audio files are found in a folder. The others mostly belong to other kinds of
file there."""
