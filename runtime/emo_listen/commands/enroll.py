"""`emo-listen enroll`: the baseline of one's own voice, for `--baseline FILE`."""

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
from emo_listen.baselines.enrolment import ENOUGH, LEAST, Enrolment
from emo_listen.errors import BaselineError, OutputError
from emo_listen.events import WarningEvent
from emo_listen.listener import Listener
from emo_listen.model import EmotionModel
from emo_listen.sinks.text import warning_text
from emo_listen.sources.open import open_source

EPILOG = """\
Speak as you do when nothing is the matter, with the microphone and in the room that you will use:
read a page aloud, or tell what you did yesterday. Pauses do not count. Then:

  emo-listen --baseline me.json

The file holds one mean vector and no sound. It is of use to this voice with this model alone.
"""


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="emo-listen enroll",
        description=f"Learn what your ordinary speech sounds like, from {ENOUGH:.0f} s of it.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--output", type=Path, required=True, metavar="FILE", help="where the baseline goes"
    )
    parser.add_argument(
        "--device",
        nargs="+",
        default=["mic"],
        metavar="DEVICE",
        help="mic, a device's index or part of its name, or sound files (default: mic)",
    )
    parser.add_argument(
        "--model", type=Path, metavar="DIR", help="folder of a model (default: the bundled one)"
    )
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> int:
    """Listen, and write the baseline; return the exit code.

    Raises:
        BaselineError: the model takes no baseline, or too little speech was heard.
        OutputError: the baseline cannot be written there.
    """
    model = EmotionModel.load(args.model)
    enrolment = Enrolment(model)
    _check_output(args.output)
    with contextlib.suppress(KeyboardInterrupt), _progress(enrolment) as show:
        for device in args.device:
            _hear(device, enrolment, show)
    if enrolment.seconds < LEAST:
        raise BaselineError(
            f"{enrolment.seconds:.1f} s of speech were heard, at least {LEAST:.0f} s are needed "
            f"and {ENOUGH:.0f} s are good: nothing was written"
        )
    enrolment.baseline().save(args.output)
    for warning in enrolment.warnings():
        print(f"Warning: {warning}", file=sys.stderr)
    print(f"Baseline of {enrolment.seconds:.1f} s of speech: {args.output}", file=sys.stderr)
    return 0


def _hear(device: str, enrolment: Enrolment, show: Callable[[], None]) -> None:
    """Hear a file to its end, or a microphone until there is enough."""
    source = open_source(device)
    if source.live:
        print(
            f"Listening to {source}. Speak as you usually do, for {ENOUGH:.0f} s. Ctrl-C ends.",
            file=sys.stderr,
        )
    listener = Listener(
        source, model=enrolment.model, emit="windows", status=True, baseline=enrolment
    )
    for event in listener:
        show()
        if isinstance(event, WarningEvent):
            print(f"Warning: {warning_text(event)}", file=sys.stderr)
        if source.live and enrolment.seconds >= ENOUGH:
            listener.stop()


@contextlib.contextmanager
def _progress(enrolment: Enrolment) -> Iterator[Callable[[], None]]:
    """Show on a terminal how much speech has been heard; yield what brings that up to date."""
    console = Console(stderr=True, highlight=False)
    columns = (BarColumn(None), TextColumn("{task.completed:.1f} of {task.total:.0f} s of speech"))
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=ENOUGH)
        yield lambda: bar.update(task, completed=min(enrolment.seconds, ENOUGH))


def _check_output(path: Path) -> None:
    """Refuse, before anybody speaks, a place that cannot be written."""
    if path.exists():
        try:
            Baseline.load(path)
        except BaselineError as error:
            raise OutputError(
                f"{path} is there already and not a baseline: give another --output"
            ) from error
    if not path.parent.is_dir():
        raise OutputError(f"{path.parent} is not a folder: make it first")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise OutputError(f"{path} cannot be written: give another --output")
