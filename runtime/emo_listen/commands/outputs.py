"""From the command line's options to the sinks that they mean."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console

from emo_listen.errors import OutputError
from emo_listen.events import Event, LabelEvent, SegmentEvent, WindowEvent
from emo_listen.model import EmotionModel
from emo_listen.model_settings import UNCERTAIN
from emo_listen.sinks.base import EVENT_TYPES, Outlets
from emo_listen.sinks.csv_rows import CsvSink
from emo_listen.sinks.jsonl import JsonLinesSink, RecordSink
from emo_listen.sinks.live import LIVE_TYPES, LiveSink
from emo_listen.sinks.osc import OSC_TYPES, OscSink
from emo_listen.sinks.text import TextSink
from emo_listen.sinks.websocket import WebsocketSink
from emo_listen.sources.audio_file import AudioFile
from emo_listen.sources.base import Source


class LabelList:
    """Keeps the events that have a final label, for what is written once the sound has ended."""

    def __init__(self) -> None:
        self.events: list[LabelEvent] = []

    def write(self, event: Event) -> None:
        """Keep one event."""
        if isinstance(event, WindowEvent | SegmentEvent):
            self.events.append(event)

    def close(self) -> None:
        """Keep them still."""


def check_outputs(args: argparse.Namespace, source: Source) -> None:
    """Refuse outputs that cannot be had, before anything is heard.

    Raises:
        OutputError: the options do not go together, or a place cannot be written.
        MissingExtraError: an option needs a library that is not installed.
    """
    if args.format in ("csv", "audformat") and args.emit == "all":
        raise OutputError(
            f"--format {args.format} holds one kind of row: give --emit segments or windows"
        )
    if args.format == "audformat":
        from emo_listen.sinks.audformat import check_audformat_folder

        if not isinstance(source, AudioFile):
            raise OutputError("--format audformat is for sound files: give one as --device")
        if args.output is None:
            raise OutputError("--format audformat writes a folder: give one as --output")
        check_audformat_folder(args.output)
    elif args.output is not None:
        raise OutputError(
            "--output is the folder of --format audformat: redirect the other formats with >"
        )
    if args.plot is not None:
        from emo_listen.sinks.timeline import check_plot

        if not isinstance(source, AudioFile):
            raise OutputError("--plot draws a sound file: give one as --device")
        if args.emit == "windows":
            raise OutputError("--plot draws segments: give --emit segments or all")
        check_plot(args.plot)


def open_outlets(
    args: argparse.Namespace, source: Source, model: EmotionModel, kept: LabelList
) -> Outlets:
    """Open the sinks that the options mean; what is written at the end goes to `kept`.

    Raises:
        OutputError: a file cannot be written, an address cannot be had.
        MissingExtraError: an option needs a library that is not installed.
    """
    outlets = Outlets()
    types = EVENT_TYPES[args.emit]
    try:
        if args.record_labels is not None:
            record = RecordSink(args.record_labels, source=str(source), model=model.name)
            outlets.add(record, types)
        if args.websocket is not None:
            websocket = WebsocketSink(*args.websocket)
            outlets.add(websocket, types)
            host = args.websocket[0]
            print(f"Events at ws://{host}:{websocket.port}", file=sys.stderr)
        if args.osc is not None:
            outlets.add(OscSink(*args.osc), OSC_TYPES)
        if args.plot is not None or args.format == "audformat":
            outlets.add(kept, types)
        if args.format in ("csv", "audformat"):
            sink = TextSink(sys.stderr, model.labels, colour=not args.no_color)
            outlets.add(sink, frozenset({"gap", "warning"}))
        if args.format != "audformat":
            _add_standard_output(outlets, args, source, model)
    except Exception:
        outlets.close()
        raise
    return outlets


def write_results(args: argparse.Namespace, events: list[LabelEvent], model: EmotionModel) -> None:
    """Write what can be written only once the sound has ended: the picture, the database.

    Raises:
        OutputError: a place cannot be written.
    """
    file = Path(args.device)
    if args.plot is not None:
        from emo_listen.sinks.timeline import plot_timeline

        plot_timeline(
            file, [event for event in events if isinstance(event, SegmentEvent)], args.plot
        )
    if args.format == "audformat":
        from emo_listen.sinks.audformat import write_audformat

        rows = ((str(file), event) for event in events)
        write_audformat(args.output, rows, labels=model.labels, model=model.name)


def _add_standard_output(
    outlets: Outlets, args: argparse.Namespace, source: Source, model: EmotionModel
) -> None:
    """Lines or a live view, as `--format` says, or as suits a terminal or a pipe."""
    types = EVENT_TYPES[args.emit]
    form = args.format or ("text" if sys.stdout.isatty() else "jsonl")
    if form == "jsonl":
        outlets.add(JsonLinesSink(sys.stdout), types)
    elif form == "csv":
        outlets.add(CsvSink(sys.stdout, model.labels), types)
    else:
        may_come = [*model.labels, UNCERTAIN] if model.settings.uncertain_below else model.labels
        console = Console(highlight=False, no_color=True if args.no_color else None)
        if args.format is None and source.live and not console.is_dumb_terminal:
            title = f"{source} · {model.name}"
            live = LiveSink(console, title=title, labels=model.labels, may_come=may_come)
            outlets.add(live, LIVE_TYPES)
        else:
            print(f"Listening to {source} with {model.name}. Ctrl-C ends.", file=sys.stderr)
            outlets.add(TextSink(sys.stdout, may_come, colour=not args.no_color), types)
