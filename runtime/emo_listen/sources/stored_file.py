"""Sound files in object storage, `s3://bucket/key`, read in pieces and never stored on disk."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from emo_listen.audio import AudioReader, open_audio_file
from emo_listen.errors import AudioFileError, StorageError
from emo_listen.extras import import_extra
from emo_listen.sources.audio_file import AudioFile

PIECE_BYTES = 1 << 22
"""Bytes of one request: two minutes of 16-bit mono at 16 kHz, which take a core longer to analyse
than storage takes to answer."""


BUFFER_BYTES = 1 << 16
"""Bytes that a decoder gets at a time, of a piece in memory."""


def is_stored(path: str) -> bool:
    """Whether this is an address, such as `s3://bucket/key`, rather than a path of this machine."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", path) is not None


def find_stored(address: str) -> list[str]:
    """Return the addresses of the object `address`, or of all objects below it, sorted.

    Raises:
        AudioFileError: there is none, or it is not in S3.
        StorageError: the storage cannot be reached.
        MissingExtraError: s3fs is not installed.
    """
    if not address.startswith("s3://"):
        raise AudioFileError(
            f"{address} cannot be read: give a path of this machine, or s3://BUCKET/KEY"
        )
    storage = _storage()
    with _named_errors(address):
        try:
            found = storage.find(address)
        except FileNotFoundError:
            found = []
    if not found:
        raise AudioFileError(f"{address} does not exist: check the address")
    return sorted(f"s3://{key}" for key in found)


def stored_state(address: str) -> dict[str, int]:
    """Return the size in bytes and the time of the last change; see `find_stored`."""
    with _named_errors(address):
        info = _storage().info(address)
    return {
        "size": info["size"],
        "modified_ns": int(info["LastModified"].timestamp()) * 1_000_000_000,
    }


def stored_exists(address: str) -> bool:
    """Whether an object exists; see `find_stored`."""
    with _named_errors(address):
        return bool(_storage().exists(address))


class StoredFile(AudioFile):
    """A sound file in object storage, at its own sampling rate."""

    @contextlib.contextmanager
    def _open(self) -> Iterator[AudioReader]:
        storage = _storage()
        with _named_errors(self._name):
            file = storage.open(self._name, "rb", block_size=PIECE_BYTES)
        recorded = _Recorded(file)
        with io.BufferedReader(recorded, BUFFER_BYTES) as buffered:
            try:
                with open_audio_file(buffered, self._name) as reader:
                    yield reader
            finally:
                # Decoders take a failed read for the end of the file, or for damage.
                with _named_errors(self._name):
                    recorded.check()


class _Recorded(io.RawIOBase):
    """A file that ends at a failed read, since libsndfile cannot pass exceptions on."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._failure: Exception | None = None

    def check(self) -> None:
        """Raise the error of a failed read."""
        if self._failure is not None:
            raise self._failure

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def readinto(self, buffer: Any) -> int:
        if self._failure is not None:
            return 0
        try:
            data = self._file.read(len(buffer))
        except _errors() as error:
            self._failure = error
            return 0
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


def _storage() -> Any:
    """Return the one client of this process, which remembers what it has listed."""
    import_extra("s3", "s3fs")
    return import_module("fsspec").filesystem("s3")


def _errors() -> tuple[type[Exception], ...]:
    botocore: Any = import_module("botocore.exceptions")
    aiohttp: Any = import_module("aiohttp")
    return (OSError, botocore.BotoCoreError, botocore.ClientError, aiohttp.ClientError)


@contextlib.contextmanager
def _named_errors(address: str) -> Iterator[None]:
    try:
        yield
    except _errors() as error:
        if isinstance(error, FileNotFoundError):
            raise AudioFileError(f"{address} does not exist: check the address") from error
        text = str(error).strip().rstrip(".")
        raise StorageError(
            f"{address} cannot be read ({text}). Check the network, the credentials (AWS_PROFILE, "
            "AWS_ACCESS_KEY_ID) and AWS_ENDPOINT_URL, and run it again"
        ) from error
