"""Finds the sound files of `emo-listen analyse` in the given files and folders."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence

from emo_listen.decoding.suffixes import FOLDER_SUFFIXES
from emo_listen.errors import AudioFileError
from emo_listen.sources.stored_file import find_stored, is_stored


def find_sound_files(paths: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Return the given files, and the sound files in the given folders and their subfolders.

    Each file is returned once, even if several links lead to it. In folders, hidden files and
    folders, files that are not regular, and links to folders are skipped. Broken links are
    returned, so that reading them reports the error.

    Addresses such as `s3://bucket/folder` stand for all sound files below them in object storage.

    Returns:
        The files, and the folders that cannot be read, each with the reason.

    Raises:
        AudioFileError: a path does not exist, or there is no sound file.
        StorageError: object storage cannot be read.
        MissingExtraError: s3fs is not installed.
    """
    found = dict[str, str]()
    unreadable = dict[str, str]()

    def skip(error: OSError) -> None:
        unreadable[os.path.normpath(error.filename)] = f"cannot be read: {error.strerror}"

    for path in paths:
        if is_stored(path):
            for file in _in_storage(path):
                found.setdefault(file, file)
        elif os.path.isdir(path):
            for file in _in_folder(path, skip):
                found.setdefault(os.path.realpath(file), file)
        elif os.path.lexists(path):
            file = os.path.normpath(path)
            found.setdefault(os.path.realpath(file), file)
        else:
            raise AudioFileError(f"{path} does not exist: check the path")
    if not found and not unreadable:
        raise AudioFileError(f"no sound files in {', '.join(paths)}: give other files or folders")
    return list(found.values()), unreadable


def real_path(file: str) -> str:
    """Return the one path of a file with several names: absolute, and free of links."""
    return file if is_stored(file) else os.path.realpath(file)


def _in_storage(address: str) -> Iterator[str]:
    for file in find_stored(address):
        names = file.removeprefix(address).split("/")
        hidden = any(name.startswith(".") for name in names)
        suffix = os.path.splitext(file)[1].casefold()
        if file == address or (suffix in FOLDER_SUFFIXES and not hidden):
            yield file


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
    """Whether this is a regular file or a broken link."""
    try:
        return stat.S_ISREG(os.stat(file).st_mode)
    except OSError:
        return True
