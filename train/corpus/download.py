"""Download files with progress, resume interrupted transfers, and verify the result.

A file is downloaded as `NAME.part` and renamed once its size and hash are correct, so a file with
its final name is complete. An interrupted transfer resumes at its last byte, in the same run or the
next.
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

from emo_listen.errors import DownloadError, OutputError
from train.common.command import command_parser, exits_with_code

TIMEOUT = 30.0
"""Seconds without a byte after which a transfer counts as interrupted."""

TRIES = 5
"""Attempts for each file before the run fails."""

PAUSE = 1.0
"""Seconds before the second attempt, doubled for each further one."""

BUSY = (429, 500, 502, 503, 504)
"""HTTP statuses after which another attempt may succeed."""

BLOCK = 1 << 18
"""Bytes read and written at a time."""

WORKERS = 8
"""Small files that are downloaded in parallel."""

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class RemoteFile:
    """A file to download, and how to verify it."""

    url: str
    """Its address."""

    path: Path
    """Where it is saved."""

    size: int | None = None
    """Its length in bytes, if known."""

    digest: str | None = None
    """Its hash in hex, as `md5:…`, `sha256:…` or `git:…` (a git blob's), if known."""


def download(file: RemoteFile, progress: Callable[[int], object] = lambda n_bytes: None) -> None:
    """Download `file`, unless it is already complete.

    Args:
        file: what to download.
        progress: called with the number of bytes received, negative if they are discarded.

    Raises:
        DownloadError: it cannot be downloaded, or its size or hash is wrong.
        OutputError: it cannot be written.
    """
    if is_whole(file, file.path):
        progress(file.path.stat().st_size)
        return
    part = file.path.with_name(f"{file.path.name}.part")
    with writing(part):
        part.parent.mkdir(parents=True, exist_ok=True)
    present = length(part)
    progress(present)
    retry(file.url, lambda: transfer(file, part, progress))
    if is_whole(file, part):
        with writing(file.path):
            os.replace(part, file.path)
        return
    progress(-length(part))
    part.unlink()
    if not present:
        raise DownloadError(
            f"{file.url} does not have the size and hash that its owners published, and was "
            "deleted. Run the command again. If it fails again, the file has changed on the server."
        )
    download(file, progress)  # the earlier run's part may belong to another file


def is_whole(file: RemoteFile, path: Path) -> bool:
    """Whether `path` has the size and hash of `file`."""
    if not path.is_file() or file.size not in (None, length(path)):
        return False
    return file.digest is None or digest_of(path, file.digest.partition(":")[0]) == file.digest


def digest_of(path: Path, kind: str) -> str:
    """Hash of a file in the format of `RemoteFile.digest`; `kind` is `md5`, `sha256` or `git`."""
    hasher = hashlib.new("sha1" if kind == "git" else kind, usedforsecurity=False)
    if kind == "git":
        hasher.update(f"blob {length(path)}\0".encode())
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            hasher.update(block)
    return f"{kind}:{hasher.hexdigest()}"


def length(path: Path) -> int:
    """Size of a file in bytes; 0 if it does not exist."""
    return path.stat().st_size if path.is_file() else 0


def transfer(file: RemoteFile, part: Path, progress: Callable[[int], object]) -> None:
    """Append the missing rest of `file` to `part`.

    Raises:
        OSError: the transfer stopped before its end.
        OutputError: `part` cannot be written.
    """
    present = length(part)
    if present and present == file.size:
        return
    try:
        response = open_url(file.url, present)
    except urllib.error.HTTPError as error:
        if error.code != 416:
            raise
        return  # nothing is missing, or `part` belongs to another file: the hash decides
    with response:
        if present and response.status != 206:  # the server only sends whole files
            progress(-present)
            present = 0
        missing = response.headers.get("Content-Length")
        with writing(part):
            output = part.open("ab" if present else "wb")
        with output:
            while block := response.read(BLOCK):
                with writing(part):
                    output.write(block)
                    output.flush()
                progress(len(block))
    if missing is not None and length(part) < present + int(missing):
        raise ConnectionError(
            f"only {length(part):,} of {present + int(missing):,} bytes were received"
        )


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raise errors of the local disk as OutputError, unlike those of the network."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}") from error


def fetch(url: str) -> bytes:
    """Return the bytes of a small file.

    Raises:
        DownloadError: it cannot be downloaded.
    """

    def read() -> bytes:
        with open_url(url) as response:
            return response.read()

    return retry(url, read)


def open_url(url: str, start: int = 0) -> http.client.HTTPResponse:
    """Request `url`, starting at byte `start`."""
    headers = {"User-Agent": "emo-listen"}
    if start:
        headers["Range"] = f"bytes={start}-"
    return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)


def retry(url: str, action: Callable[[], Result]) -> Result:
    """Call `action`, which requests `url`, until it succeeds or has failed `TRIES` times.

    Raises:
        DownloadError: it failed, or the server refused.
    """
    for attempt in range(TRIES):
        if attempt:
            time.sleep(PAUSE * 2 ** (attempt - 1))
        try:
            return action()
        except urllib.error.HTTPError as error:
            error.close()
            if error.code not in BUSY:
                raise DownloadError(
                    f"{url} cannot be downloaded: {error.code} {error.reason}"
                ) from error
            reason: object = f"{error.code} {error.reason}"
        except urllib.error.URLError as error:
            reason = error.reason
        except (OSError, http.client.HTTPException) as error:
            reason = error
    raise DownloadError(
        f"{url} cannot be downloaded after {TRIES} attempts: {reason}. Check the network, and run "
        "the command again: it resumes where it stopped."
    )


def download_file(file: RemoteFile) -> None:
    """Download one large file with a progress bar in bytes.

    Raises:
        DownloadError, OutputError: see `download`.
    """
    with tqdm(
        total=file.size, desc=file.path.name, unit="B", unit_scale=True, unit_divisor=1024
    ) as bar:
        download(file, bar.update)


def in_parallel(
    action: Callable[[Item], Result], items: Sequence[Item], description: str, unit: str
) -> list[Result]:
    """Call `action` with each of `items`, `WORKERS` at a time, with a progress bar.

    Returns:
        Its results, in the order of `items`.

    Raises:
        DownloadError, OutputError: one failed; calls that had not started are cancelled.
    """
    with ThreadPoolExecutor(WORKERS) as pool:
        jobs = [pool.submit(action, item) for item in items]
        try:
            for job in tqdm(as_completed(jobs), total=len(jobs), desc=description, unit=unit):
                job.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return [job.result() for job in jobs]


def check_count(found: int, expected: int, what: str) -> None:
    """Refuse a number of items that differs from the published one.

    Raises:
        DownloadError: naming both numbers.
    """
    if found != expected:
        raise DownloadError(
            f"Found {found:,} {what}, expected {expected:,}: the corpus has changed on the server."
        )


def download_parser(description: str | None, default: str) -> argparse.ArgumentParser:
    """Make a command line with `--output`, by default the folder `default`."""
    parser = command_parser(description)
    parser.add_argument(
        "--output",
        type=Path,
        default=Path(default),
        help=f"folder to download into (default: {default})",
    )
    return parser


def run_download(output: Path, get: Callable[[Path], str]) -> int:
    """Download with `get` into `output`, print its summary; return the exit code."""
    try:
        return exits_with_code(lambda: print(f"{output}: {get(output)}"))()
    except KeyboardInterrupt:
        print("Stopped. Run the same command again to resume.", file=sys.stderr)
        return 130
