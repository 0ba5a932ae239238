"""Options that `emo-listen` and `emo-listen analyse` share."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_model_options(parser: argparse._ActionsContainer) -> None:
    """Add what tells which model hears what: the arguments of `listen`."""
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
        type=float,
        metavar="SECONDS",
        help="sound that the model looks at, at once (default: the model's own)",
    )
    parser.add_argument(
        "--hop",
        type=float,
        metavar="SECONDS",
        help="time from one look to the next (default: the model's own)",
    )


def positive_int(text: str) -> int:
    """Read a whole number of 1 or more."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def address(text: str) -> tuple[str, int]:
    """Read `HOST:PORT`; an IPv6 address stands in brackets."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT, for example 127.0.0.1:9000")
    return host, int(port)


def local_address(text: str) -> tuple[str, int]:
    """Read `PORT` on this machine alone, or `HOST:PORT`; port 0 is any that is free."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") or "127.0.0.1"
    if not port.isdecimal() or not 0 <= int(port) < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port or HOST:PORT, for example 8765")
    return host, int(port)
