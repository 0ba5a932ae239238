"""Which files `emo-listen analyse` is to hear: files and folders as they were given."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence

from emo_listen.decoding.suffixes import FOLDER_SUFFIXES
from emo_listen.errors import AudioFileError


def find_sound_files(paths: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Return the files that `paths` name, and the sound files in the folders that they name.

    Each file comes once, whatever links lead to it. Hidden files and folders, and in folders what
    is no regular file, are left out; links to folders are not followed, and links that lead
    nowhere are kept, so that whoever reads them says so.

    Returns:
        The files; and the folders that cannot be read, each with the reason.

    Raises:
        AudioFileError: a path is absent, or there is no sound file.
    """
    found = dict[str, str]()
    unreadable = dict[str, str]()

    def skip(error: OSError) -> None:
        unreadable[os.path.normpath(error.filename)] = f"cannot be read: {error.strerror}"

    for path in paths:
        if os.path.isdir(path):
            for file in _in_folder(path, skip):
                found.setdefault(os.path.realpath(file), file)
        elif os.path.lexists(path):
            file = os.path.normpath(path)
            found.setdefault(os.path.realpath(file), file)
        else:
            raise AudioFileError(f"{path} is neither a file nor a folder")
    if not found and not unreadable:
        raise AudioFileError(f"no sound file in {', '.join(paths)}: give files, or other folders")
    return list(found.values()), unreadable


def _in_folder(path: str, skip: Callable[[OSError], None]) -> Iterator[str]:
    for folder, subfolders, names in os.walk(path, onerror=skip):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in sorted(names):
            suffix = os.path.splitext(name)[1].casefold()
            if suffix in FOLDER_SUFFIXES and not name.startswith("."):
                file = os.path.normpath(os.path.join(folder, name))
                if _may_be_read(file):
                    yield file


def _may_be_read(file: str) -> bool:
    """Whether this is a regular file, or a link whose target whoever reads it will miss."""
    try:
        return stat.S_ISREG(os.stat(file).st_mode)
    except OSError:
        return True
