"""Analyses the files of one voice, and reports progress on each."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from emo_listen.baselines.two_passes import ChannelVoices, FirstPasses, SecondPass
from emo_listen.engine import ListenOptions
from emo_listen.errors import EmoListenError, StorageError
from emo_listen.events import Event, ProvisionalEvent, StatusEvent
from emo_listen.listener import listen
from emo_listen.model import EmotionModel
from emo_listen.sinks.jsonl import event_row
from emo_listen.sources.audio_file import AudioFile
from emo_listen.sources.stored_file import StoredFile, is_stored

PROGRESS_SECONDS = 2.0
"""Sound between two progress reports on a file, in seconds."""

FIRST_PASS_SHARE = 0.8
"""Share of the work in the first of two passes; the second does not run the network."""


@dataclass(frozen=True)
class Progress:
    """Progress on one file; the last report on a file is `done`."""

    file: str
    """The file."""

    seconds: float
    """Sound analysed so far, in seconds."""

    share: float = 0.0
    """Share of the file analysed so far, 0 to 1, by the length in its header."""

    done: bool = False
    """Whether this is the last report on the file."""

    events: Path | None = None
    """JSON Lines of the events once the file is done; if damaged, of those before the damage."""

    error: str | None = None
    """Why the file cannot be read, or not to its end."""

    write_error: str | None = None
    """Why the events cannot be written."""


def analyse_group(
    files: Sequence[str], model: EmotionModel, options: ListenOptions, folder: Path
) -> Iterator[Progress]:
    """Analyse the files of a group in order; yield the progress on each.

    With the baseline `auto`, the files are one voice, and are read in two passes, the first for its
    baseline.

    Args:
        files: The sound files.
        model: The model.
        options: The options for all files.
        folder: Where to store the events of a file, for the caller to remove.
    """
    if options.baseline != "auto" or model.head is None:
        for file in files:
            yield from _analyse(file, model, options, folder)
        return
    passes = {}
    for file in files:
        yield Progress(file, 0.0)
        passes[file] = FirstPasses(model)
        # The second pass reports the error, unless it might go further than the first.
        with contextlib.suppress(EmoListenError, MemoryError):
            first_pass = replace(options, baseline=passes[file])
            try:
                for item in _listen(_source(file), file, model, first_pass):
                    if isinstance(item, Progress):
                        yield item
            except StorageError as error:
                del passes[file]
                yield Progress(file, 0.0, done=True, error=str(error))
    second_pass = replace(options, baseline=ChannelVoices(model, passes.values()))
    for file, recording in passes.items():
        yield from _analyse(file, SecondPass(model, recording), second_pass, folder)


def _analyse(
    file: str, model: EmotionModel, options: ListenOptions, folder: Path
) -> Iterator[Progress]:
    """Write the events of a file to `folder`; yield the progress, at last that it is done."""
    source: AudioFile | None = None
    error: str | None = None
    events = folder / f"{uuid.uuid4().hex}.jsonl"
    try:
        with events.open("w", encoding="utf-8") as lines:
            try:
                source = _source(file)
                for item in _listen(source, file, model, options):
                    if isinstance(item, Progress):
                        yield item
                    elif not isinstance(item, ProvisionalEvent):
                        row = {"type": item.type, "file": file, **event_row(item)}
                        lines.write(json.dumps(row) + "\n")
            except EmoListenError as unreadable:
                error = str(unreadable)
            except MemoryError:
                error = f"{file} needs more memory than is available"
    except OSError as write_error:
        yield Progress(file, 0.0, write_error=write_error.strerror)
    else:
        position = 0.0 if source is None else source.position
        yield Progress(file, position, done=True, events=events, error=error)


def _source(file: str) -> AudioFile:
    return StoredFile(file) if is_stored(file) else AudioFile(file)


def _listen(
    source: AudioFile, file: str, model: EmotionModel, options: ListenOptions
) -> Iterator[Event | Progress]:
    """Yield the events of a file, and the progress in between."""
    done, part = 0.0, 1.0
    if isinstance(options.baseline, FirstPasses):
        part = FIRST_PASS_SHARE
    elif isinstance(model, SecondPass):
        done, part = FIRST_PASS_SHARE, 1 - FIRST_PASS_SHARE
    reported = 0.0
    options = replace(options, status=True)
    for event in listen(source, model=model, **vars(options)):
        if not isinstance(event, StatusEvent):
            yield event
        elif event.time - reported >= PROGRESS_SECONDS:
            reported = event.time
            share = min(1.0, source.position / source.duration) if source.duration else 0.0
            yield Progress(file, part * reported, done + part * share)
