"""Processes that analyse files, each with a model of its own.

Files of one voice are a group, which one process hears as a whole. A file that kills its process,
as a damaged one can in a decoder, costs that file alone: it is named, and another process goes on
with the rest.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import time
import uuid
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from emo_listen.baselines.two_passes import FirstPass, SecondPass, voice_reference
from emo_listen.engine import ListenOptions
from emo_listen.errors import EmoListenError, OutputError
from emo_listen.events import Event, ProvisionalEvent, StatusEvent
from emo_listen.listener import listen
from emo_listen.model import EmotionModel
from emo_listen.sinks.jsonl import event_row
from emo_listen.sources.audio_file import AudioFile

PROGRESS_SECONDS = 2.0
"""Sound between two reports of how far a file has been heard, in seconds."""

FIRST_PASS = 0.8
"""Share of the work that the first of two passes is: the second runs no network."""

STALLED_SECONDS = 600.0
"""Time without such a report after which a process is ended, in seconds: a hundred times what the
slowest model takes for two seconds of sound on a slow device."""


@dataclass(frozen=True)
class Progress:
    """How far a file has been heard; the last one of a file is `done`."""

    file: str
    """The file."""

    seconds: float
    """Sound heard so far, in seconds."""

    share: float = 0.0
    """How much of the file that is, 0 to 1, as far as its header tells."""

    done: bool = False
    """Whether nothing more comes of it."""

    events: Path | None = None
    """JSON Lines of its events, once it is done: where it is damaged, of what lies before."""

    error: str | None = None
    """Why it cannot be read, or not to its end."""

    unwritten: str | None = None
    """Why its events cannot be kept."""


@dataclass
class _Worker:
    process: BaseProcess
    connection: Connection
    files: list[str]
    """The group that it is at work on, without what is done."""

    file: str | None = None
    """Which of them it hears."""

    reported: float = 0.0
    """When it last told how far it is, in seconds of `time.monotonic`."""


def analyse_files(
    groups: Sequence[Sequence[str]],
    *,
    model: Path | None,
    options: ListenOptions,
    jobs: int,
    folder: Path,
) -> Generator[Progress, None, None]:
    """Analyse files in parallel; yield how far each has come.

    Closing the iterator ends the processes.

    Args:
        groups: The sound files; with `baseline` `auto`, those of a group are of one voice.
        model: Folder of the model; the bundled one where None.
        options: How to listen to each file.
        jobs: Processes, each of one thread.
        folder: Where the events of files are kept until they are taken.

    Raises:
        OutputError: `folder` cannot be written.
    """
    # Forked processes would share the locks of onnxruntime's and rich's threads.
    context = multiprocessing.get_context("spawn")
    waiting = [list(group) for group in reversed(groups)]
    workers: dict[Connection, _Worker] = {}

    def start() -> None:
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, args=(theirs, model, options, folder), daemon=True)
        with _safe_import_path():
            process.start()
        theirs.close()
        workers[ours] = _Worker(process, ours, [])
        give(workers[ours])

    def give(worker: _Worker) -> None:
        worker.files = waiting.pop() if waiting else []
        worker.file = worker.files[0] if worker.files else None
        worker.reported = time.monotonic()
        # Where it has died, reading from it will tell.
        with contextlib.suppress(BrokenPipeError):
            worker.connection.send(worker.files)
        if not worker.files:
            del workers[worker.connection]
            worker.connection.close()
            worker.process.join()

    try:
        for _ in range(min(jobs, len(groups))):
            start()
        while workers:
            ready = wait(list(workers), timeout=STALLED_SECONDS)
            for worker in workers.values():
                if worker.connection not in ready and _is_stalled(worker):
                    worker.process.kill()
            for connection in ready:
                worker = workers[connection]  # type: ignore[index]
                try:
                    progress: Progress = worker.connection.recv()
                except (EOFError, ConnectionResetError):
                    worker.process.join()
                    del workers[worker.connection]
                    assert worker.file is not None
                    reason = f"the process that read it died (exit code {worker.process.exitcode})"
                    if _is_stalled(worker):
                        reason = f"nothing came of it for {STALLED_SECONDS:.0f} s"
                    yield Progress(worker.file, 0.0, done=True, error=reason)
                    worker.files.remove(worker.file)
                    if worker.files:
                        waiting.append(worker.files)
                    if waiting:
                        start()
                    continue
                worker.reported = time.monotonic()
                if progress.unwritten is not None:
                    raise OutputError(f"{folder} cannot be written: {progress.unwritten}")
                yield progress
                if progress.events is not None:
                    progress.events.unlink()
                worker.file = progress.file
                if progress.done:
                    worker.files.remove(progress.file)
                    worker.file = worker.files[0] if worker.files else None
                    if not worker.files:
                        give(worker)
    finally:
        for worker in workers.values():
            worker.process.terminate()
            worker.process.join()


def _is_stalled(worker: _Worker) -> bool:
    return time.monotonic() - worker.reported > STALLED_SECONDS


def _work(
    connection: Connection, model_folder: Path | None, options: ListenOptions, folder: Path
) -> None:
    """Analyse the files whose names come, until no more come or the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends us.
    model = EmotionModel.load(model_folder)
    try:
        while files := connection.recv():
            _analyse_group(files, connection, model, options, folder)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass  # The parent was killed: what was not finished is done by the next run.


def _analyse_group(
    files: list[str],
    connection: Connection,
    model: EmotionModel,
    options: ListenOptions,
    folder: Path,
) -> None:
    """Analyse files, with `auto` in two passes: for the voice's baseline, and relative to it."""
    if options.baseline != "auto" or model.head is None:
        for file in files:
            _analyse(file, connection, model, options, folder)
        return
    passes = {}
    for file in files:
        connection.send(Progress(file, 0.0))
        passes[file] = FirstPass(model)
        # What is wrong with a file, the second pass tells.
        with contextlib.suppress(EmoListenError, MemoryError):
            first_pass = replace(options, baseline=passes[file])
            for _ in _hear(AudioFile(file), file, connection, model, first_pass):
                pass
    second_pass = replace(options, baseline=voice_reference(model, passes.values()))
    for file, heard in passes.items():
        _analyse(file, connection, SecondPass(model, heard), second_pass, folder)


def _analyse(
    file: str,
    connection: Connection,
    model: EmotionModel,
    options: ListenOptions,
    folder: Path,
) -> None:
    """Hear a file, keep its events in `folder`, and tell the parent."""
    source: AudioFile | None = None
    error: str | None = None
    events = folder / f"{uuid.uuid4().hex}.jsonl"
    try:
        with events.open("w", encoding="utf-8") as lines:
            try:
                source = AudioFile(file)
                for event in _hear(source, file, connection, model, options):
                    if not isinstance(event, ProvisionalEvent):
                        row = {"type": event.type, "file": file, **event_row(event)}
                        lines.write(json.dumps(row) + "\n")
            except EmoListenError as unreadable:
                error = str(unreadable)
            except MemoryError:
                error = f"{file} needs more memory than there is"
    except OSError as unwritten:
        connection.send(Progress(file, 0.0, unwritten=unwritten.strerror))
    else:
        position = 0.0 if source is None else source.position
        connection.send(Progress(file, position, done=True, events=events, error=error))


def _hear(
    source: AudioFile,
    file: str,
    connection: Connection,
    model: EmotionModel,
    options: ListenOptions,
) -> Iterator[Event]:
    """Yield a file's events but status, by which the parent is told how far it is."""
    if isinstance(options.baseline, FirstPass):
        done, part = 0.0, FIRST_PASS
    else:
        done, part = (FIRST_PASS, 1 - FIRST_PASS) if isinstance(model, SecondPass) else (0.0, 1.0)
    reported = 0.0
    options = replace(options, status=True)
    for event in listen(source, model=model, **vars(options)):
        if not isinstance(event, StatusEvent):
            yield event
        elif event.time - reported >= PROGRESS_SECONDS:
            reported = event.time
            share = min(1.0, source.position / source.duration) if source.duration else 0.0
            connection.send(Progress(file, part * reported, done + part * share))


@contextlib.contextmanager
def _safe_import_path() -> Iterator[None]:
    """Keep the current folder off the import path of the processes that start meanwhile.

    Python puts it first for the command by which `multiprocessing` starts them, so that a file
    there named like a module, such as `signal.py`, would be run.
    """
    before = os.environ.get("PYTHONSAFEPATH")
    os.environ["PYTHONSAFEPATH"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONSAFEPATH"]
        else:
            os.environ["PYTHONSAFEPATH"] = before
