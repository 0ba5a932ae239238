"""PortAudio as sounddevice brings it, with any device name decoded and its messages dropped."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any

from emo_listen.errors import DeviceError


def import_sounddevice() -> ModuleType:
    """Import sounddevice, which fails without PortAudio and is therefore imported late.

    Raises:
        DeviceError: PortAudio is missing.
    """
    try:
        sounddevice = import_module("sounddevice")
    except OSError as error:
        raise DeviceError(
            f"{error}; a microphone needs it. Install it with `sudo apt install libportaudio2` "
            "(Debian, Ubuntu, Raspberry Pi OS), `sudo dnf install portaudio` (Fedora) or "
            "`sudo pacman -S portaudio` (Arch)."
        ) from error
    # On Windows, sounddevice itself tries a second encoding where names are not UTF-8.
    if sys.platform != "win32" and not isinstance(sounddevice._ffi, _LenientFFI):
        vars(sounddevice)["_ffi"] = _LenientFFI(sounddevice._ffi)
    return sounddevice


def readable(name: str) -> str:
    """Return a name from the command line as `import_sounddevice` decodes names of devices."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


class _LenientFFI:
    """sounddevice's `ffi`, whose strings can always be decoded."""

    def __init__(self, ffi: Any) -> None:
        self._ffi = ffi

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ffi, name)

    def string(self, text: Any) -> _LenientBytes:
        return _LenientBytes(self._ffi.string(text))


class _LenientBytes(bytes):
    r"""Bytes that are decoded with an escape such as `\xe9` for each one that is not UTF-8."""

    def decode(self, encoding: str = "utf-8", errors: str = "backslashreplace") -> str:
        return super().decode(encoding, errors)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep from standard error what ALSA and PortAudio print where a device does not open.

    The error that is raised says it in one line. sounddevice does the same when it starts
    PortAudio. For that moment, nothing of the process reaches standard error.
    """
    try:
        kept = os.dup(2)
    except OSError:  # A process without standard error has nothing to keep quiet.
        yield
        return
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


@contextmanager
def without_messages() -> Iterator[None]:
    """Drop what C libraries print to `stderr` as long as this is open, where the libc is glibc.

    PortAudio prints from a thread of its own when a device is lost, at a time that nobody knows
    beforehand. Only C's variable `stderr` changes: Python's `sys.stderr` and the file descriptor
    go on. Other systems' libraries do not allow that variable to be set.
    """
    if _c_library is None:
        yield
        return
    _c_library.drop_messages()
    try:
        yield
    finally:
        _c_library.restore_messages()


class _CLibrary:
    """glibc, where `stderr` is a variable like any other."""

    def __init__(self, library: ctypes.CDLL) -> None:
        library.fopen.restype = ctypes.c_void_p
        self._fopen = library.fopen
        self._stderr = ctypes.c_void_p.in_dll(library, "stderr")
        self._before: int | None = None
        self._nowhere: int | None = None
        self._users = 0
        self._lock = threading.Lock()

    def drop_messages(self) -> None:
        with self._lock:
            if self._users == 0:
                # It stays open for good: another thread may be about to use it.
                self._nowhere = self._nowhere or self._fopen(os.fsencode(os.devnull), b"w")
                self._before = self._stderr.value
                self._stderr.value = self._nowhere or self._before
            self._users += 1

    def restore_messages(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._stderr.value = self._before


def _find_c_library() -> _CLibrary | None:
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    return _CLibrary(library) if hasattr(library, "gnu_get_libc_version") else None


_c_library = _find_c_library()
