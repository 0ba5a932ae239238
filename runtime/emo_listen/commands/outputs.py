"""The output options of `emo-listen`, and the sinks that they open.

Sinks that import numpy or rich are imported locally, because `--help` must not load these.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from emo_listen.commands.options import address, local_address, one_kind_of_row
from emo_listen.errors import OutputError
from emo_listen.sinks.base import EVENT_TYPES, SinkGroup
from emo_listen.sinks.csv_rows import CsvSink
from emo_listen.sinks.jsonl import JsonLinesSink, RecordSink
from emo_listen.sinks.osc import OSC_TYPES, OscSink
from emo_listen.sinks.websocket import WebsocketSink

if TYPE_CHECKING:
    from emo_listen.model import EmotionModel
    from emo_listen.sources.base import Source


def add_output_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of all sinks."""
    output = parser.add_argument_group("output")
    output.add_argument(
        "--format",
        choices=("text", "jsonl", "csv", "audformat"),
        help="format of the results; audformat writes a folder, the others standard output "
        "(default: a live view or text on a terminal, otherwise jsonl)",
    )
    output.add_argument("--output", type=Path, metavar="DIR", help="new folder for audformat")
    output.add_argument("--no-color", action="store_true", help="no colours on a terminal")
    output.add_argument(
        "--record-labels",
        type=Path,
        metavar="FILE",
        help="also append the events to FILE, as JSON Lines",
    )
    output.add_argument(
        "--plot",
        type=Path,
        metavar="FILE",
        help="draw the timeline of a sound file: FILE.png, .svg or .pdf",
    )
    output.add_argument(
        "--websocket",
        type=local_address,
        metavar="[HOST:]PORT",
        help="serve the events as JSON to websocket clients (default HOST: 127.0.0.1)",
    )
    output.add_argument(
        "--osc",
        type=address,
        metavar="HOST:PORT",
        help="send /emo/label, /emo/scores/<label>, /emo/baseline and /emo/speech by OSC; with "
        "separate channels, /emo/1/label and so on",
    )


def open_sinks(args: argparse.Namespace, source: Source, model: EmotionModel) -> SinkGroup:
    """Open the sinks that the options ask for.

    Sinks that write only at the end come first, so that a wrong option leaves nothing behind.

    Raises:
        OutputError: options conflict, a file cannot be written, or an address cannot be used.
        MissingExtraError: an option needs a library that is not installed.
    """
    _check_options(args)
    sinks = SinkGroup()
    types = EVENT_TYPES[args.emit]
    try:
        if args.plot is not None:
            from emo_listen.sinks.timeline import TIMELINE_TYPES, TimelineSink

            sinks.add(TimelineSink(args.plot, source, args.channels), TIMELINE_TYPES)
        if args.format == "audformat":
            from emo_listen.sinks.audformat import AudformatSink

            database = AudformatSink(args.output, source, labels=model.labels, model=model.name)
            sinks.add(database, types)
        if args.osc is not None:
            sinks.add(OscSink(*args.osc), OSC_TYPES)
        if args.websocket is not None:
            websocket = WebsocketSink(*args.websocket)
            sinks.add(websocket, types)
            print(f"Events at ws://{args.websocket[0]}:{websocket.port}", file=sys.stderr)
        if args.record_labels is not None:
            record = RecordSink(args.record_labels, source=str(source), model=model.name)
            sinks.add(record, types)
        _add_terminal_sinks(sinks, args, source, model)
    except BaseException:
        sinks.close()
        raise
    return sinks


def _check_options(args: argparse.Namespace) -> None:
    """Refuse values of `--format`, `--output` and `--emit` that conflict."""
    if args.format in ("csv", "audformat"):
        one_kind_of_row(f"--format {args.format}", args.emit)
    if args.format == "audformat" and args.output is None:
        raise OutputError("--format audformat needs --output, the folder to write")
    if args.format != "audformat" and args.output is not None:
        raise OutputError(
            "--output works only with --format audformat: redirect other formats with > FILE"
        )


def _add_terminal_sinks(
    sinks: SinkGroup, args: argparse.Namespace, source: Source, model: EmotionModel
) -> None:
    """Open what writes to standard output, and warnings on standard error for formats without."""
    types = EVENT_TYPES[args.emit]
    form = args.format or ("text" if sys.stdout.isatty() else "jsonl")
    if form in ("csv", "audformat"):
        from emo_listen.sinks.text import TextSink

        warnings = TextSink(sys.stderr, model.labels, colour=not args.no_color)
        sinks.add(warnings, frozenset({"gap", "warning"}))
    if form == "jsonl":
        sinks.add(JsonLinesSink(sys.stdout), types)
    elif form == "csv":
        sinks.add(CsvSink(sys.stdout, model.labels, separate=args.channels != "mix"), types)
    elif form == "text":
        _add_text(sinks, args, source, model)


def _add_text(
    sinks: SinkGroup, args: argparse.Namespace, source: Source, model: EmotionModel
) -> None:
    """Open the live view if a terminal can show it and no `--format` was given, else text."""
    from rich.console import Console

    from emo_listen.model_settings import UNCERTAIN
    from emo_listen.sinks.live import LIVE_TYPES, LiveSink
    from emo_listen.sinks.text import TextSink

    labels = [*model.labels, UNCERTAIN] if model.settings.uncertain_below else model.labels
    console = Console(highlight=False, no_color=True if args.no_color else None)
    if args.format is None and source.live and not console.is_dumb_terminal:
        title = f"{source} · {model.name}"
        live = LiveSink(console, title=title, labels=model.labels, possible_labels=labels)
        sinks.add(live, LIVE_TYPES)
    else:
        print(f"Listening to {source} with {model.name}. Ctrl-C stops.", file=sys.stderr)
        text = TextSink(sys.stdout, labels, colour=not args.no_color)
        sinks.add(text, EVENT_TYPES[args.emit])
