"""`emo-listen enroll`: create the baseline of a voice, for `--baseline FILE`."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from emo_listen.baselines.baseline import Baseline
from emo_listen.baselines.enrolment import MIN_SECONDS, TARGET_SECONDS, Enrolment
from emo_listen.commands.options import add_model_option
from emo_listen.errors import BaselineError, OutputError
from emo_listen.events import WarningEvent
from emo_listen.listener import Listener
from emo_listen.model import EmotionModel
from emo_listen.sinks.base import require_parent_folder
from emo_listen.sinks.text import warning_text
from emo_listen.sources.open import open_source

EPILOG = """\
Speak calmly, as you usually do, with the microphone and in the room that you
will use: read a page aloud, or describe your day. Pauses do not count. Then:

  emo-listen --baseline me.json

The file contains one mean vector and no sound. It is valid only for this voice
and this model.
"""


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="emo-listen enroll",
        description=f"Record {TARGET_SECONDS:.0f} s of your ordinary speech as a baseline.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--output", type=Path, required=True, metavar="FILE", help="the baseline file to write"
    )
    parser.add_argument(
        "--device",
        nargs="+",
        default=["mic"],
        metavar="DEVICE",
        help="mic, the index or part of the name of an input device, or sound files (default: mic)",
    )
    add_model_option(parser)
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> int:
    """Record speech and write its baseline; return the exit code.

    Raises:
        BaselineError: the model does not support baselines, or there was too little speech.
        OutputError: the baseline cannot be written.
    """
    model = EmotionModel.load(args.model)
    enrolment = Enrolment(model)
    _check_output(args.output)
    with contextlib.suppress(KeyboardInterrupt), _progress(enrolment) as show:
        for device in args.device:
            _record(device, enrolment, show)
    if enrolment.seconds < MIN_SECONDS:
        raise BaselineError(
            f"only {enrolment.seconds:.1f} s of speech, so no baseline was written: at least "
            f"{MIN_SECONDS:.0f} s are needed, {TARGET_SECONDS:.0f} s are recommended"
        )
    enrolment.baseline().save(args.output)
    for warning in enrolment.warnings():
        print(f"Warning: {warning}", file=sys.stderr)
    print(
        f"Baseline from {enrolment.seconds:.1f} s of speech written to {args.output}",
        file=sys.stderr,
    )
    return 0


def _record(device: str, enrolment: Enrolment, show: Callable[[], None]) -> None:
    """Collect speech from a file, or from a microphone until there is enough."""
    source = open_source(device)
    if source.live:
        print(
            f"Listening to {source}. Speak as you usually do, for {TARGET_SECONDS:.0f} s. "
            "Ctrl-C stops.",
            file=sys.stderr,
        )
    listener = Listener(
        source, model=enrolment.model, emit="windows", status=True, baseline=enrolment
    )
    for event in listener:
        show()
        if isinstance(event, WarningEvent):
            print(f"Warning: {warning_text(event)}", file=sys.stderr)
        if source.live and enrolment.seconds >= TARGET_SECONDS:
            listener.stop()


@contextlib.contextmanager
def _progress(enrolment: Enrolment) -> Iterator[Callable[[], None]]:
    """Show a progress bar on a terminal; yield the function that updates it."""
    console = Console(stderr=True, highlight=False)
    columns = (BarColumn(None), TextColumn("{task.completed:.1f} of {task.total:.0f} s of speech"))
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=TARGET_SECONDS)
        yield lambda: bar.update(task, completed=min(enrolment.seconds, TARGET_SECONDS))


def _check_output(path: Path) -> None:
    """Refuse a file that cannot be written, before recording."""
    if path.exists():
        try:
            Baseline.load(path)
        except BaselineError as error:
            raise OutputError(
                f"{path} exists and is not a baseline: choose another --output"
            ) from error
    require_parent_folder(path)
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise OutputError(f"{path} cannot be written: choose another --output")
