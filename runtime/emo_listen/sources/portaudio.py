"""Imports sounddevice, decodes any device name, and suppresses PortAudio's messages."""

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
    """Import sounddevice. The import fails without PortAudio, so it must be late.

    Raises:
        DeviceError: PortAudio is missing.
    """
    try:
        sounddevice = import_module("sounddevice")
    except OSError as error:
        raise DeviceError(
            f"{error}; microphones need it. Install it with `sudo apt install libportaudio2` "
            "(Debian, Ubuntu, Raspberry Pi OS), `sudo dnf install portaudio` (Fedora) or "
            "`sudo pacman -S portaudio` (Arch)."
        ) from error
    # On Windows, sounddevice itself tries a second encoding for names that are not UTF-8.
    if sys.platform != "win32" and not isinstance(sounddevice._ffi, _LenientFFI):
        vars(sounddevice)["_ffi"] = _LenientFFI(sounddevice._ffi)
    return sounddevice


def readable(name: str) -> str:
    """Decode a name from the command line as device names are decoded."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


class _LenientFFI:
    """sounddevice's `ffi`, with strings that can always be decoded."""

    def __init__(self, ffi: Any) -> None:
        self._ffi = ffi

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ffi, name)

    def string(self, text: Any) -> _LenientBytes:
        return _LenientBytes(self._ffi.string(text))


class _LenientBytes(bytes):
    r"""Bytes that are decoded with an escape such as `\xe9` for each invalid one."""

    def decode(self, encoding: str = "utf-8", errors: str = "backslashreplace") -> str:
        return super().decode(encoding, errors)


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress standard error, to which ALSA and PortAudio print when a device does not open.

    The raised error says it in one line. This affects the whole process, as sounddevice itself
    does when it starts PortAudio.
    """
    try:
        stderr = os.dup(2)
    except OSError:  # The process has no standard error.
        yield
        return
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


@contextmanager
def without_messages() -> Iterator[None]:
    """Suppress what C libraries print to `stderr`; with glibc only.

    PortAudio prints from its own thread when a device is lost, at any time. Only C's variable
    `stderr` changes, not Python's `sys.stderr` or the file descriptor. Other C libraries do not
    allow that variable to be set.
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
    """glibc, in which `stderr` is a variable."""

    def __init__(self, library: ctypes.CDLL) -> None:
        library.fopen.restype = ctypes.c_void_p
        self._fopen = library.fopen
        self._stderr = ctypes.c_void_p.in_dll(library, "stderr")
        self._original: int | None = None
        self._null: int | None = None
        self._users = 0
        self._lock = threading.Lock()

    def drop_messages(self) -> None:
        with self._lock:
            if self._users == 0:
                # It stays open, since another thread may be about to use it.
                self._null = self._null or self._fopen(os.fsencode(os.devnull), b"w")
                self._original = self._stderr.value
                self._stderr.value = self._null or self._original
            self._users += 1

    def restore_messages(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._stderr.value = self._original


def _find_c_library() -> _CLibrary | None:
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    return _CLibrary(library) if hasattr(library, "gnu_get_libc_version") else None


_c_library = _find_c_library()
