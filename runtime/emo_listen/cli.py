"""The command `emo-listen`: recognise emotions in speech from a microphone, a file or a pipe."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib import import_module
from importlib.metadata import version
from types import FrameType
from typing import TYPE_CHECKING

from emo_listen.commands.options import (
    MAX_CHANNELS,
    add_listen_options,
    in_range,
    load_model_and_options,
)
from emo_listen.commands.outputs import add_output_options, open_sinks
from emo_listen.commands.standard_streams import replace_closed_streams
from emo_listen.commands.terminal_text import escape_unencodable_output
from emo_listen.errors import EmoListenError
from emo_listen.model_settings import MAX_THREADS
from emo_listen.sound.rates import MAX_RATE, MIN_RATE

if TYPE_CHECKING:
    from emo_listen.sources.base import Source

COMMANDS = {
    "analyse": "emo_listen.commands.analyse",
    "doctor": "emo_listen.commands.doctor",
    "enroll": "emo_listen.commands.enroll",
    "serve": "emo_listen.commands.serve",
}
"""Module of each subcommand, with `parse_args(argv)` and `run(args) -> exit code`."""

NO_SPEECH_SECONDS = 1.0
"""Shortest sound after which missing speech is reported; a shorter stream was stopped by hand."""

EPILOG = """\
commands:
  emo-listen analyse PATH...          analyse files and folders in parallel
  emo-listen doctor                   check the installation and the microphone
  emo-listen enroll --output me.json  record your ordinary speech as a baseline
  emo-listen serve                    label audio that programs send

examples:
  emo-listen                          listen to the default microphone
  emo-listen talk.flac                read a recording
  emo-listen --device USB > out.jsonl use the microphone with USB in its name
  arecord -t raw -f S16_LE -r 16000 | emo-listen --device -

Times are in seconds from the start of the stream. The label is "uncertain" if
no emotion is probable enough. Ctrl-C stops. No sound is stored or sent.
"""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="emo-listen",
        description="Recognise emotions in speech as it is spoken, on this device.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {version('emo-listen')}")
    sound = parser.add_argument_group("sound")
    sound.add_argument("named", nargs="*", metavar="DEVICE", help="same as --device")
    sound.add_argument(
        "--device",
        metavar="DEVICE",
        help="mic (the system's default input), the index or part of the name of an input device, "
        "a sound file, or - for raw PCM or a sound file on standard input (default: mic)",
    )
    sound.add_argument("--list-devices", action="store_true", help="list input devices and exit")
    sound.add_argument(
        "--rate",
        type=in_range(int, MIN_RATE, MAX_RATE),
        default=16000,
        metavar="HZ",
        help="sampling rate of raw PCM (default: %(default)s)",
    )
    sound.add_argument(
        "--pcm-format",
        choices=("s16le", "s32le", "f32le"),
        default="s16le",
        help="samples of raw PCM: 16-bit, 32-bit or float, little-endian (default: %(default)s)",
    )
    sound.add_argument(
        "--pcm-channels",
        type=in_range(int, 1, MAX_CHANNELS),
        metavar="N",
        help="number of channels of raw PCM (default: 1)",
    )
    model = parser.add_argument_group("model")
    add_listen_options(model)
    model.add_argument(
        "--threads",
        type=in_range(int, 1, MAX_THREADS),
        default=1,
        metavar="N",
        help="CPU threads for the model (default: %(default)s)",
    )
    add_output_options(parser)
    args = parser.parse_intermixed_args(argv)
    if len(args.named) > 1:
        parser.error(
            f"give one DEVICE; for several files: emo-listen analyse {shlex.join(args.named)}"
        )
    if args.named and args.device is not None:
        parser.error("give DEVICE or --device DEVICE, not both")
    args.device = args.named[0] if args.named else args.device or "mic"
    if args.device == "-" and args.pcm_channels is None and len(args.channels) == 1:
        # The meaning of `--channels N` in earlier versions.
        args.pcm_channels, args.channels = args.channels[0], "mix"
    args.pcm_channels = args.pcm_channels or 1
    return args


def run(args: argparse.Namespace) -> int:
    """Write the events of a stream until it ends or a signal stops it; return the exit code."""
    from emo_listen.events import LabelEvent
    from emo_listen.listener import Listener
    from emo_listen.sources.devices import list_input_devices
    from emo_listen.sources.open import open_source

    if args.list_devices:
        print(list_input_devices())
        return 0
    model, options = load_model_and_options(args, threads=args.threads)
    source = open_source(
        args.device,
        sampling_rate=args.rate,
        pcm_format=args.pcm_format,
        pcm_channels=args.pcm_channels,
        channels=args.channels,
    )
    any_label = False
    with _stopped_by_signals(source), open_sinks(args, source, model) as sinks:
        options = replace(options, emit=sinks.emit, status=sinks.status)
        listener = Listener(source, model=model, **vars(options))
        for event in listener:
            any_label = any_label or isinstance(event, LabelEvent)
            sinks.write(event)
    if args.vad and not any_label and listener.seconds >= NO_SPEECH_SECONDS:
        print(
            f"emo-listen: no speech found in {listener.seconds:.1f} s of sound, so no labels. "
            "To label it anyway, add --no-vad",
            file=sys.stderr,
        )
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run `emo-listen`; return its exit code: 0, or 2 after a named error.

    `analyse` and `doctor` define 1.
    """
    replace_closed_streams()
    argv = sys.argv[1:] if argv is None else list(argv)
    escape_unencodable_output()
    handler = _OneLine()
    logging.getLogger("emo_listen").addHandler(handler)
    try:
        return _run(argv)
    except EmoListenError as error:
        print(f"emo-listen: {type(error).__name__}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 0
    except BrokenPipeError:
        _drop_standard_output()  # The reader closed the pipe, which is not an error.
    except OSError as error:
        print(f"emo-listen: OutputError: cannot write the results: {error}", file=sys.stderr)
        _drop_standard_output()
        return 2
    finally:
        logging.getLogger("emo_listen").removeHandler(handler)
    return 0


def _run(argv: list[str]) -> int:
    """Run a command, and flush standard output so that write errors are raised here."""
    try:
        if argv and argv[0] in COMMANDS:
            command = import_module(COMMANDS[argv[0]])
            code: int = command.run(command.parse_args(argv[1:]))
            return code
        return run(parse_args(argv))
    finally:
        sys.stdout.flush()


def _drop_standard_output() -> None:
    """Redirect standard output to the null device, so that Python's flush at exit succeeds."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _OneLine(logging.Handler):
    """Prints log messages as one line each to the current `sys.stderr`."""

    def emit(self, record: logging.LogRecord) -> None:
        print(f"emo-listen: {record.getMessage()}", file=sys.stderr)


@contextlib.contextmanager
def _stopped_by_signals(source: Source) -> Iterator[None]:
    """Let SIGINT and SIGTERM end the stream.

    A live source still reports the sound received so far, until a second signal. A file or a pipe
    is abandoned immediately.
    """
    stopped = False

    def end(_number: int, _frame: FrameType | None) -> None:
        nonlocal stopped
        if stopped or not source.live:
            raise KeyboardInterrupt
        stopped = True
        source.stop()

    previous = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


if __name__ == "__main__":
    sys.exit(main())
