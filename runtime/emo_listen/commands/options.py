"""Options that `emo-listen` and `emo-listen analyse` share."""

from __future__ import annotations

import argparse
import contextlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from emo_listen.errors import OutputError
from emo_listen.events import Emit
from emo_listen.model_settings import MAX_WINDOW, MIN_HOP, MIN_WINDOW

if TYPE_CHECKING:
    from emo_listen.engine import ListenOptions

MAX_CHANNELS = 64
"""Most channels of PCM that can be asked for."""

MAX_HOST_LENGTH = 253
"""Most characters of a host's name in DNS."""

T = TypeVar("T", int, float)


def add_model_options(parser: argparse._ActionsContainer) -> None:
    """Add `--model` and the options that `listen_options` reads."""
    parser.add_argument(
        "--model", type=Path, metavar="DIR", help="folder of a model (default: the bundled one)"
    )
    parser.add_argument(
        "--baseline",
        default="auto",
        metavar="auto|off|FILE",
        help="what a voice is judged relative to: its own ordinary speech, as far as it has been "
        "heard (auto), nobody's (off), or what emo-listen enroll wrote (default: %(default)s)",
    )
    parser.add_argument(
        "--emit",
        choices=("segments", "windows", "all"),
        default="segments",
        help="steady segments of speech, the model's raw windows, or both (default: %(default)s)",
    )
    parser.add_argument(
        "--no-vad",
        dest="vad",
        action="store_false",
        help="hear everything as speech: no detection of speech before the model",
    )
    parser.add_argument(
        "--window",
        type=in_range(float, MIN_WINDOW, MAX_WINDOW),
        metavar="SECONDS",
        help=f"sound that the model looks at, at once: {MIN_WINDOW:g} to {MAX_WINDOW:g} (default: "
        "the model's own)",
    )
    parser.add_argument(
        "--hop",
        type=in_range(float, MIN_HOP, MAX_WINDOW),
        metavar="SECONDS",
        help=f"time from one look to the next: {MIN_HOP:g} to the window (default: the model's "
        "own)",
    )


def listen_options(args: argparse.Namespace) -> ListenOptions:
    """Return what `add_model_options` added, as options of `listen`."""
    from emo_listen.engine import ListenOptions

    return ListenOptions(args.window, args.hop, args.vad, args.emit, args.baseline)


def one_kind_of_row(table: str, emit: Emit) -> None:
    """Refuse `--emit all` for an output whose rows are all segments or all windows.

    Raises:
        OutputError: `emit` is `all`.
    """
    if emit == "all":
        raise OutputError(f"{table} holds one kind of row: give --emit segments or windows")


def in_range(kind: Callable[[str], T], low: T, high: T) -> Callable[[str], T]:
    """Return a reader of numbers from `low` to `high`, for `type=` of an option."""

    def read(text: str) -> T:
        with contextlib.suppress(ValueError):
            if low <= (value := kind(text)) <= high:
                return value
        raise argparse.ArgumentTypeError(
            f"{text[:40]!r} is not a number from {low:,.9g} to {high:,.9g}"
        )

    return read


def address(text: str) -> tuple[str, int]:
    """Read `HOST:PORT`; an IPv6 address stands in brackets."""
    host, port = _host_and_port(text)
    if not host or not port:
        raise argparse.ArgumentTypeError(
            f"{text[:40]!r} is not HOST:PORT, for example 127.0.0.1:9000"
        )
    return host, port


def local_address(text: str) -> tuple[str, int]:
    """Read `PORT` on this machine alone, or `HOST:PORT`; port 0 is any that is free."""
    host, port = _host_and_port(text)
    if port is None:
        raise argparse.ArgumentTypeError(
            f"{text[:40]!r} is not a port or HOST:PORT, for example 8765"
        )
    return host or "127.0.0.1", port


def _host_and_port(text: str) -> tuple[str, int | None]:
    """Split into both; the host is empty where absent, the port None where either is unusable."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    usable = re.fullmatch("[0-9]{1,5}", port) is not None and int(port) < 65536
    try:
        host.encode("idna")  # As the system's look-up does: no part over 63 characters.
    except UnicodeError:
        usable = False
    return host, int(port) if usable and len(host) <= MAX_HOST_LENGTH else None
