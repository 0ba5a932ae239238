"""`emo-listen`: the emotion in a voice, from a microphone, a file or a pipe, as it is spoken."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import shlex
import signal
import sys
from collections.abc import Iterator, Sequence
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from emo_listen.commands.options import (
    MAX_CHANNELS,
    add_model_options,
    address,
    in_range,
    local_address,
)
from emo_listen.commands.standard_streams import replace_closed_streams
from emo_listen.commands.terminal_text import let_standard_output_take_any_text
from emo_listen.errors import EmoListenError
from emo_listen.model_settings import MAX_THREADS
from emo_listen.sound.rates import MAX_RATE, MIN_RATE

if TYPE_CHECKING:
    from emo_listen.sources.base import Source

COMMANDS = {
    "analyse": "emo_listen.commands.analyse",
    "doctor": "emo_listen.commands.doctor",
    "enroll": "emo_listen.commands.enroll",
}
"""Module of each sub-command, which has `parse_args(argv)` and `run(args) -> exit code`."""

TOLD_FROM = 1.0
"""Seconds of sound from which it is told that nobody spoke: less is a command that was ended."""

EPILOG = """\
commands:
  emo-listen analyse PATH...          files and folders into one table, in parallel
  emo-listen doctor                   what is installed, what works, what to mend
  emo-listen enroll --output me.json  what your ordinary speech sounds like, for --baseline me.json

examples:
  emo-listen                          listen to the microphone
  emo-listen talk.flac                a recording
  emo-listen --device USB > log.jsonl a microphone by part of its name, into a file
  arecord -t raw -f S16_LE -r 16000 | emo-listen --device -

Times are seconds of the stream. Where no emotion is probable enough, as the model's own settings
say, its label is uncertain. Ctrl-C ends. No sound is stored or sent anywhere.
"""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="emo-listen",
        description="Tell which emotion a voice carries, on this device, as it is spoken.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {version('emo-listen')}")
    sound = parser.add_argument_group("sound")
    sound.add_argument("named", nargs="*", metavar="DEVICE", help="the same as --device")
    sound.add_argument(
        "--device",
        metavar="DEVICE",
        help="mic for the system's default input, a device's index or part of its name, a sound "
        "file, or - for raw PCM or a sound file on standard input (default: mic)",
    )
    sound.add_argument("--list-devices", action="store_true", help="list the microphones, and end")
    sound.add_argument(
        "--rate",
        type=in_range(int, MIN_RATE, MAX_RATE),
        default=16000,
        metavar="HZ",
        help="sampling rate of the PCM on standard input (default: %(default)s)",
    )
    sound.add_argument(
        "--pcm-format",
        choices=("s16le", "s32le", "f32le"),
        default="s16le",
        help="its samples: 16-bit, 32-bit or float, little-endian (default: %(default)s)",
    )
    sound.add_argument(
        "--channels",
        type=in_range(int, 1, MAX_CHANNELS),
        default=1,
        metavar="N",
        help="its channels, which are mixed down (default: %(default)s)",
    )
    model = parser.add_argument_group("model")
    add_model_options(model)
    model.add_argument(
        "--threads",
        type=in_range(int, 1, MAX_THREADS),
        default=1,
        metavar="N",
        help="CPU threads for the model (default: %(default)s)",
    )
    output = parser.add_argument_group("output")
    output.add_argument(
        "--format",
        choices=("text", "jsonl", "csv", "audformat"),
        help="for people, programs, spreadsheets; audformat writes the folder --output (default: "
        "a live view or text on a terminal, jsonl in a pipe)",
    )
    output.add_argument("--output", type=Path, metavar="DIR", help="new folder for audformat")
    output.add_argument("--no-color", action="store_true", help="no colours on a terminal")
    output.add_argument(
        "--record-labels",
        type=Path,
        metavar="FILE",
        help="append the events to FILE too, as JSON Lines, one session after another",
    )
    output.add_argument(
        "--plot", type=Path, metavar="FILE", help="draw a sound file's timeline as FILE.png"
    )
    output.add_argument(
        "--websocket",
        type=local_address,
        metavar="[HOST:]PORT",
        help="serve the events as JSON to websocket clients (HOST: this machine alone)",
    )
    output.add_argument(
        "--osc",
        type=address,
        metavar="HOST:PORT",
        help="send /emo/label, /emo/scores/<label> and /emo/speech by OSC",
    )
    args = parser.parse_intermixed_args(argv)
    if len(args.named) > 1:
        parser.error(
            f"one DEVICE at a time; for several files: emo-listen analyse {shlex.join(args.named)}"
        )
    if args.named and args.device is not None:
        parser.error("give DEVICE or --device DEVICE, not both")
    args.device = args.named[0] if args.named else args.device or "mic"
    return args


def run(args: argparse.Namespace) -> int:
    """Listen until the sound ends or a signal comes, and hand on what is heard."""
    from emo_listen.baselines.references import open_reference
    from emo_listen.commands.outputs import LabelList, check_outputs, open_outlets, write_results
    from emo_listen.events import LabelEvent
    from emo_listen.listener import Listener
    from emo_listen.model import EmotionModel
    from emo_listen.sources.devices import list_input_devices
    from emo_listen.sources.open import open_source

    if args.list_devices:
        print(list_input_devices())
        return 0
    model = EmotionModel.load(args.model, threads=args.threads)
    baseline = open_reference(model, args.baseline)
    source = open_source(
        args.device,
        sampling_rate=args.rate,
        pcm_format=args.pcm_format,
        channels=args.channels,
    )
    check_outputs(args, source)
    kept = LabelList()
    with (
        _ended_by_signals(source),
        contextlib.closing(open_outlets(args, source, model, kept)) as outlets,
    ):
        listener = Listener(
            source,
            model=model,
            window=args.window,
            hop=args.hop,
            vad=args.vad,
            emit=outlets.emit,
            status=outlets.status,
            baseline=baseline,
        )
        any_label = False
        for event in listener:
            any_label = any_label or isinstance(event, LabelEvent)
            outlets.write(event)
    if args.vad and not any_label and listener.seconds >= TOLD_FROM:
        print(
            f"emo-listen: no speech in {listener.seconds:.1f} s of sound, so there are no labels. "
            "To label it all the same, add --no-vad",
            file=sys.stderr,
        )
    write_results(args, kept.events, model)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run `emo-listen`; return its exit code: 0, or 2 after a named error.

    `analyse` and `doctor` say what they mean by 1.
    """
    replace_closed_streams()
    argv = sys.argv[1:] if argv is None else list(argv)
    let_standard_output_take_any_text()
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
        _drop_standard_output()  # The reader has gone, and needs no message.
    except OSError as error:
        print(
            f"emo-listen: OutputError: what was heard cannot be written: {error}", file=sys.stderr
        )
        _drop_standard_output()
        return 2
    finally:
        logging.getLogger("emo_listen").removeHandler(handler)
    return 0


def _run(argv: list[str]) -> int:
    """Do what the command line says; what fails to be written fails in here."""
    try:
        if argv and argv[0] in COMMANDS:
            command = import_module(COMMANDS[argv[0]])
            return command.run(command.parse_args(argv[1:]))
        return run(parse_args(argv))
    finally:
        sys.stdout.flush()


def _drop_standard_output() -> None:
    """Let Python's flush at exit not fail, too."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _OneLine(logging.Handler):
    """Prints what the package logs as one line, wherever standard error goes by then."""

    def emit(self, record: logging.LogRecord) -> None:
        print(f"emo-listen: {record.getMessage()}", file=sys.stderr)


@contextlib.contextmanager
def _ended_by_signals(source: Source) -> Iterator[None]:
    """Let SIGINT and SIGTERM end the stream.

    What a live source has heard so far is still reported; a second signal abandons that too. A
    file or a pipe is abandoned at once.
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
