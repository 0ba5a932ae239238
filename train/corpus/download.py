"""Files from their owners' places: with progress, resumed where they stopped, and verified.

A file comes as `NAME.part` and gets its name when its size and hash are right, so that one that
has its name is whole. An interrupted transfer goes on from its last byte, in the same run and in
the next.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from emo_listen.errors import DownloadError, EmoListenError, OutputError

TIMEOUT = 30.0
"""Seconds without a byte after which a transfer counts as interrupted."""

TRIES = 5
"""How often a file is asked for before the run ends."""

PAUSE = 1.0
"""Seconds before the second try; each further one waits twice as long."""

BUSY = (429, 500, 502, 503, 504)
"""Answers of a server that may answer otherwise when it is asked again."""

BLOCK = 1 << 18
"""Bytes read and written at a time."""

WORKERS = 8
"""Small files that are fetched at a time."""

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class RemoteFile:
    """A file that somebody offers, and what it must be."""

    url: str
    """Where it is offered."""

    path: Path
    """Where it goes."""

    size: int | None = None
    """Its length in bytes, where it is known."""

    digest: str | None = None
    """Its hash in hex, as `md5:…`, `sha256:…` or `git:…` (a git blob's), where it is known."""


def download(file: RemoteFile, progress: Callable[[int], object] = lambda n_bytes: None) -> None:
    """Fetch `file`, unless it is there already.

    Args:
        file: what to fetch.
        progress: called with bytes that have come; with a negative number where they are dropped.

    Raises:
        DownloadError: it cannot be had, or is not what it must be.
        OutputError: it cannot be written.
    """
    if is_whole(file, file.path):
        progress(file.path.stat().st_size)
        return
    part = file.path.with_name(f"{file.path.name}.part")
    with writing(part):
        part.parent.mkdir(parents=True, exist_ok=True)
    begun = length(part)
    progress(begun)
    retry(file.url, lambda: transfer(file, part, progress))
    if is_whole(file, part):
        with writing(file.path):
            os.replace(part, file.path)
        return
    progress(-length(part))
    part.unlink()
    if not begun:
        raise DownloadError(
            f"{file.url} does not have the size and hash that its owners published; what came was "
            "deleted. Give the command again. If it fails again, the file was changed there."
        )
    download(file, progress)  # what an earlier run left may be of another file


def is_whole(file: RemoteFile, path: Path) -> bool:
    """Tell whether `path` has the size and the hash that `file` must have."""
    if not path.is_file() or file.size not in (None, length(path)):
        return False
    return file.digest is None or digest_of(path, file.digest.partition(":")[0]) == file.digest


def digest_of(path: Path, kind: str) -> str:
    """Hash of a file as `RemoteFile.digest` gives it; `kind` is `md5`, `sha256` or `git`."""
    hasher = hashlib.new("sha1" if kind == "git" else kind, usedforsecurity=False)
    if kind == "git":
        hasher.update(f"blob {length(path)}\0".encode())
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            hasher.update(block)
    return f"{kind}:{hasher.hexdigest()}"


def length(path: Path) -> int:
    """Bytes of a file; 0 where there is none."""
    return path.stat().st_size if path.is_file() else 0


def transfer(file: RemoteFile, part: Path, progress: Callable[[int], object]) -> None:
    """Append to `part` what it lacks of `file`.

    Raises:
        OSError: the transfer stopped before its end.
        OutputError: `part` cannot be written.
    """
    begun = length(part)
    if begun and begun == file.size:
        return
    try:
        response = open_url(file.url, begun)
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        return  # no byte is missing, or `part` is of another file, which its hash tells
    with response:
        if begun and response.status != 206:  # a server that only sends whole files
            progress(-begun)
            begun = 0
        missing = response.headers.get("Content-Length")
        with writing(part):
            output = part.open("ab" if begun else "wb")
        with output:
            while block := response.read(BLOCK):
                with writing(part):
                    output.write(block)
                    output.flush()
                progress(len(block))
    if missing is not None and length(part) < begun + int(missing):
        raise ConnectionError(f"only {length(part):,} of {begun + int(missing):,} bytes came")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Tell an error of the local disk from one of the network."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}") from error


def fetch(url: str) -> bytes:
    """Return the bytes of a small file.

    Raises:
        DownloadError: it cannot be had.
    """

    def read() -> bytes:
        with open_url(url) as response:
            return response.read()

    return retry(url, read)


def open_url(url: str, start: int = 0) -> http.client.HTTPResponse:
    """Ask for `url` from byte `start` on."""
    headers = {"User-Agent": "emo-listen"}
    if start:
        headers["Range"] = f"bytes={start}-"
    return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)


def retry(url: str, action: Callable[[], Result]) -> Result:
    """Do `action`, which asks for `url`, until it succeeds or has failed `TRIES` times.

    Raises:
        DownloadError: it failed, or the server refuses.
    """
    for attempt in range(TRIES):
        if attempt:
            time.sleep(PAUSE * 2 ** (attempt - 1))
        try:
            return action()
        except urllib.error.HTTPError as error:
            error.close()
            if error.code not in BUSY:
                raise DownloadError(f"{url} cannot be had: {error.code} {error.reason}") from error
            reason: object = f"{error.code} {error.reason}"
        except urllib.error.URLError as error:
            reason = error.reason
        except (OSError, http.client.HTTPException) as error:
            reason = error
    raise DownloadError(
        f"{url} cannot be had after {TRIES} tries: {reason}. Check the network, and give the "
        "command again: it goes on where it stopped."
    )


def download_file(file: RemoteFile) -> None:
    """Fetch one large file with a progress bar in bytes.

    Raises:
        DownloadError, OutputError: as `download`.
    """
    with tqdm(
        total=file.size, desc=file.path.name, unit="B", unit_scale=True, unit_divisor=1024
    ) as bar:
        download(file, bar.update)


def in_parallel(
    action: Callable[[Item], Result], items: Sequence[Item], told: str, unit: str
) -> list[Result]:
    """Do `action` with each of `items`, `WORKERS` at a time, with a progress bar.

    Returns:
        What it gave, in the order of `items`.

    Raises:
        DownloadError, OutputError: one failed; what is not begun is left undone.
    """
    with ThreadPoolExecutor(WORKERS) as pool:
        jobs = [pool.submit(action, item) for item in items]
        try:
            for job in tqdm(as_completed(jobs), total=len(jobs), desc=told, unit=unit):
                job.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return [job.result() for job in jobs]


def check_count(found: int, expected: int, told: str) -> None:
    """Refuse another number of things than their owners published.

    Raises:
        DownloadError: naming both numbers.
    """
    if found != expected:
        raise DownloadError(f"{found:,} {told} were found where {expected:,} were expected.")


def download_parser(description: str | None, default: str) -> argparse.ArgumentParser:
    """Make a command line with `--output`, whose default is the folder `default`."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--output", type=Path, default=Path(default), help=f"folder (default: {default})"
    )
    return parser


def run_download(output: Path, get: Callable[[Path], str]) -> int:
    """Download with `get` into `output`, print what it says came; return the exit code."""
    try:
        print(f"{output}: {get(output)}")
    except EmoListenError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped. The same command goes on from here.", file=sys.stderr)
        return 130
    return 0
