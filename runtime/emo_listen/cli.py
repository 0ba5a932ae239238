"""`emo-listen`: the emotion in a voice, from a microphone, a file or a pipe, as lines."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from emo_listen.errors import EmoListenError

if TYPE_CHECKING:
    from emo_listen.sources import Microphone

EPILOG = """\
examples:
  emo-listen                          listen to the microphone
  emo-listen --device talk.flac       a recording
  emo-listen --device USB > log.jsonl a microphone by part of its name, into a file
  arecord -t raw -f S16_LE -r 16000 | emo-listen --device -

A line comes every --hop seconds, the first after one second, each about the last --window
seconds (at the beginning, about what has been heard so far). Times are seconds of the stream.
Where no emotion is probable enough, as the model's own settings say, its label is uncertain.
Ctrl-C ends. No sound is stored or sent anywhere.
"""


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="emo-listen",
        description="Tell which emotion a voice carries, on this device, as it is spoken.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--device",
        default="mic",
        metavar="DEVICE",
        help="mic for the system's default input, a device's index or part of its name, a sound "
        "file, or - for raw 16-bit mono PCM on standard input (default: %(default)s)",
    )
    parser.add_argument("--list-devices", action="store_true", help="list the microphones, and end")
    parser.add_argument(
        "--model", type=Path, metavar="DIR", help="folder of a model (default: the bundled one)"
    )
    parser.add_argument(
        "--format",
        choices=("text", "jsonl"),
        help="lines for people or for programs (default: text on a terminal, jsonl in a pipe)",
    )
    parser.add_argument(
        "--window",
        type=float,
        metavar="SECONDS",
        help="sound that one line is about (default: the model's own)",
    )
    parser.add_argument(
        "--hop",
        type=float,
        metavar="SECONDS",
        help="time from one line to the next (default: the model's own)",
    )
    parser.add_argument(
        "--threads",
        type=_positive_int,
        default=1,
        metavar="N",
        help="CPU threads for the model (default: %(default)s)",
    )
    parser.add_argument(
        "--rate",
        type=_positive_int,
        default=16000,
        metavar="HZ",
        help="sampling rate of the PCM on standard input (default: %(default)s)",
    )
    parser.add_argument("--emit", default="segments", choices=("segments", "windows", "all"))
    parser.add_argument("--no-vad", dest="vad", action="store_false")
    parser.add_argument("--version", action="version", version=f"%(prog)s {version('emo-listen')}")
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> None:
    """Listen until the sound ends or a signal comes, and print what is heard."""
    from emo_listen.listener import listen
    from emo_listen.model import EmotionModel
    from emo_listen.settings import UNCERTAIN
    from emo_listen.sinks import JsonLinesSink, Sink, TextSink
    from emo_listen.sources import Microphone, list_input_devices, open_source

    if args.list_devices:
        print(list_input_devices())
        return
    model = EmotionModel.load(args.model, threads=args.threads)
    source = open_source(args.device, sampling_rate=args.rate)
    events = listen(
        source, model=model, window=args.window, hop=args.hop, vad=args.vad, emit=args.emit
    )
    text = sys.stdout.isatty() if args.format is None else args.format == "text"
    sink: Sink
    if text:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="replace")
        may_come = [*model.labels, UNCERTAIN] if model.settings.uncertain_below else model.labels
        sink = TextSink(sys.stdout, may_come)
        print(f"Listening to {source} with {model.name}. Ctrl-C ends.", file=sys.stderr)
    else:
        sink = JsonLinesSink(sys.stdout)
    with _ended_by_signals(source if isinstance(source, Microphone) else None):
        for event in events:
            sink.write(event)


def main(argv: Sequence[str] | None = None) -> int:
    """Run `emo-listen`; return its exit code: 0, or 2 after a named error."""
    args = parse_args(argv)
    try:
        run(args)
    except EmoListenError as error:
        print(f"emo-listen: {type(error).__name__}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 0
    except BrokenPipeError:
        # The reader has gone, and needs no message; Python's flush at exit must not fail either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


@contextlib.contextmanager
def _ended_by_signals(microphone: Microphone | None) -> Iterator[None]:
    """Let SIGINT and SIGTERM end the stream.

    A microphone has no other end, so what it has heard up to there is still reported; a second
    signal abandons that too. The rest of a file or a pipe is abandoned at once.
    """
    stopped = False

    def end(_number: int, _frame: FrameType | None) -> None:
        nonlocal stopped
        if microphone is None or stopped:
            raise KeyboardInterrupt
        stopped = True
        microphone.stop()

    previous = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _positive_int(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


if __name__ == "__main__":
    sys.exit(main())
