"""Options shared by several commands: their ranges, and the model and options that they name."""

from __future__ import annotations

import argparse
import contextlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from emo_listen.errors import AudioInputError, OutputError
from emo_listen.events import Emit
from emo_listen.model_settings import MAX_WINDOW, MIN_HOP, MIN_WINDOW
from emo_listen.sound.channel_choice import ChannelChoice, parse_channels

if TYPE_CHECKING:
    from emo_listen.engine import ListenOptions
    from emo_listen.model import EmotionModel

MAX_CHANNELS = 64
"""Maximum number of channels of raw PCM."""

MAX_HOST_LENGTH = 253
"""Maximum length of a host name in DNS, in characters."""

T = TypeVar("T", int, float)


def add_model_option(parser: argparse._ActionsContainer) -> None:
    """Add `--model`."""
    parser.add_argument(
        "--model", type=Path, metavar="DIR", help="model folder (default: the bundled model)"
    )


def add_listen_options(parser: argparse._ActionsContainer) -> None:
    """Add the options that `load_model_and_options` reads."""
    add_model_option(parser)
    parser.add_argument(
        "--baseline",
        default="auto",
        metavar="auto|off|FILE",
        help="what labels are relative to: an estimate of the speaker's ordinary speech (auto), "
        "the average speaker (off), or a baseline from emo-listen enroll (default: %(default)s)",
    )
    parser.add_argument(
        "--channels",
        type=_channels,
        default="mix",
        metavar="mix|separate|N,M",
        help="mix channels to one, label each separately, or only those with these numbers, from "
        "1; with separate channels, crosstalk between them is removed (default: %(default)s)",
    )
    parser.add_argument(
        "--emit",
        choices=("segments", "windows", "all"),
        default="segments",
        help="smoothed segments, the model's raw windows, or both (default: %(default)s)",
    )
    parser.add_argument(
        "--no-vad",
        dest="vad",
        action="store_false",
        help="label all sound, without detecting speech first",
    )
    add_window_options(parser)


def add_window_options(parser: argparse._ActionsContainer) -> None:
    """Add the options for the length of windows and the time between them."""
    parser.add_argument(
        "--window",
        type=in_range(float, MIN_WINDOW, MAX_WINDOW),
        metavar="SECONDS",
        help=f"length of a window, {MIN_WINDOW:g} to {MAX_WINDOW:g} (default: the model's)",
    )
    parser.add_argument(
        "--hop",
        type=in_range(float, MIN_HOP, MAX_WINDOW),
        metavar="SECONDS",
        help=f"time between windows, {MIN_HOP:g} to the window (default: the model's)",
    )


def _channels(text: str) -> ChannelChoice:
    try:
        return parse_channels(text)
    except AudioInputError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def load_model_and_options(
    args: argparse.Namespace, *, threads: int = 1
) -> tuple[EmotionModel, ListenOptions]:
    """Load the model and the baseline file, and check that the options suit them.

    Args:
        args: The values of `add_listen_options`.
        threads: CPU threads for one prediction.

    Raises:
        ModelError: the model cannot be loaded.
        BaselineError: the baseline cannot be used with the model.
        AudioInputError: the hop is longer than the window.
    """
    from emo_listen.baselines.baseline import Baseline
    from emo_listen.baselines.references import open_reference
    from emo_listen.engine import ListenOptions
    from emo_listen.model import EmotionModel

    model = EmotionModel.load(args.model, threads=threads)
    baseline = args.baseline if args.baseline in ("auto", "off") else Baseline.load(args.baseline)
    options = ListenOptions(
        args.window, args.hop, args.vad, args.emit, baseline, channels=args.channels
    )
    options.window_and_hop(model.settings)
    open_reference(model, baseline)
    return model, options


def one_kind_of_row(table: str, emit: Emit) -> None:
    """Refuse `--emit all` for an output whose rows are all segments or all windows.

    Raises:
        OutputError: `emit` is `all`.
    """
    if emit == "all":
        raise OutputError(f"{table} holds either segments or windows: choose one with --emit")


def in_range(kind: Callable[[str], T], low: T, high: T) -> Callable[[str], T]:
    """Return a function that parses numbers from `low` to `high`, for `type=` of an option."""

    def read(text: str) -> T:
        with contextlib.suppress(ValueError):
            if low <= (value := kind(text)) <= high:
                return value
        raise argparse.ArgumentTypeError(
            f"{text[:40]!r} is not a number from {low:,.9g} to {high:,.9g}"
        )

    return read


def address(text: str) -> tuple[str, int]:
    """Parse `HOST:PORT`; an IPv6 address must be in brackets."""
    host, port = _host_and_port(text)
    if not host or not port:
        raise argparse.ArgumentTypeError(
            f"{text[:40]!r} is not HOST:PORT, for example 127.0.0.1:9000"
        )
    return host, port


def local_address(text: str) -> tuple[str, int]:
    """Parse `PORT` (on 127.0.0.1) or `HOST:PORT`; port 0 chooses a free one."""
    host, port = _host_and_port(text)
    if port is None:
        raise argparse.ArgumentTypeError(
            f"{text[:40]!r} is not a port or HOST:PORT, for example 8765"
        )
    return host or "127.0.0.1", port


def _host_and_port(text: str) -> tuple[str, int | None]:
    """Split into host (empty if missing) and port (None if either is invalid)."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    valid = re.fullmatch("[0-9]{1,5}", port) is not None and int(port) < 65536
    try:
        host.encode("idna")  # Like the system's lookup, it refuses parts over 63 characters.
    except UnicodeError:
        valid = False
    return host, int(port) if valid and len(host) <= MAX_HOST_LENGTH else None
