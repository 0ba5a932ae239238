"""Processes that analyse files in parallel, each with its own model.

Files of one voice form a group, which one process analyses as a whole. If a file kills its process,
as a damaged one may crash a decoder, only that file fails: the error names it, and a new process
continues with the rest of the group.
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
"""Sound between two progress reports on a file, in seconds."""

FIRST_PASS_SHARE = 0.8
"""Share of the work in the first of two passes; the second does not run the network."""

STALLED_SECONDS = 600.0
"""Time without a progress report after which a process is killed, in seconds: a hundred times what
the slowest model takes for two seconds of sound on a slow device."""


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


@dataclass
class _Worker:
    process: BaseProcess
    connection: Connection
    files: list[str]
    """The files of its group that are not done yet."""

    file: str | None = None
    """The file that it analyses now."""

    reported: float = 0.0
    """Time of its last report, in seconds of `time.monotonic`."""


def analyse_files(
    groups: Sequence[Sequence[str]],
    *,
    model: Path | None,
    options: ListenOptions,
    jobs: int,
    folder: Path,
) -> Generator[Progress, None, None]:
    """Analyse files in parallel; yield the progress on each.

    Closing the iterator terminates the processes.

    Args:
        groups: The sound files; with the baseline `auto`, the files of a group are one voice.
        model: The model's folder; None for the bundled model.
        options: The options for all files.
        jobs: Number of processes, each with one thread.
        folder: Where to store the events of a file; removed after its last report.

    Raises:
        OutputError: `folder` cannot be written.
    """
    # Forked processes would inherit locked locks of onnxruntime's and rich's threads.
    context = multiprocessing.get_context("spawn")
    waiting = [list(group) for group in reversed(groups)]
    workers: dict[Connection, _Worker] = {}

    def start() -> None:
        connection, child_connection = context.Pipe()
        arguments = (child_connection, model, options, folder)
        process = context.Process(target=_work, args=arguments, daemon=True)
        with _safe_import_path():
            process.start()
        child_connection.close()
        workers[connection] = _Worker(process, connection, [])
        assign(workers[connection])

    def assign(worker: _Worker) -> None:
        worker.files = waiting.pop() if waiting else []
        worker.file = worker.files[0] if worker.files else None
        worker.reported = time.monotonic()
        # If the process has died, `recv` reports it.
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
                    reason = f"analysing it crashed (exit code {worker.process.exitcode})"
                    if _is_stalled(worker):
                        reason = f"no progress for {STALLED_SECONDS:.0f} s"
                    yield Progress(worker.file, 0.0, done=True, error=reason)
                    worker.files.remove(worker.file)
                    if worker.files:
                        waiting.append(worker.files)
                    if waiting:
                        start()
                    continue
                worker.reported = time.monotonic()
                if progress.write_error is not None:
                    raise OutputError(f"{folder} cannot be written: {progress.write_error}")
                yield progress
                if progress.events is not None:
                    progress.events.unlink()
                worker.file = progress.file
                if progress.done:
                    worker.files.remove(progress.file)
                    worker.file = worker.files[0] if worker.files else None
                    if not worker.files:
                        assign(worker)
    finally:
        for worker in workers.values():
            worker.process.terminate()
            worker.process.join()


def _is_stalled(worker: _Worker) -> bool:
    return time.monotonic() - worker.reported > STALLED_SECONDS


def _work(
    connection: Connection, model_folder: Path | None, options: ListenOptions, folder: Path
) -> None:
    """Analyse the groups received from the parent process, until an empty one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The parent handles Ctrl-C.
    model = EmotionModel.load(model_folder)
    try:
        while files := connection.recv():
            _analyse_group(files, connection, model, options, folder)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass  # The parent was killed; the next run continues.


def _analyse_group(
    files: list[str],
    connection: Connection,
    model: EmotionModel,
    options: ListenOptions,
    folder: Path,
) -> None:
    """Analyse files; with the baseline `auto` in two passes, the first for the baseline."""
    if options.baseline != "auto" or model.head is None:
        for file in files:
            _analyse(file, connection, model, options, folder)
        return
    passes = {}
    for file in files:
        connection.send(Progress(file, 0.0))
        passes[file] = FirstPass(model)
        # The second pass reports the error.
        with contextlib.suppress(EmoListenError, MemoryError):
            first_pass = replace(options, baseline=passes[file])
            for _ in _listen(AudioFile(file), file, connection, model, first_pass):
                pass
    second_pass = replace(options, baseline=voice_reference(model, passes.values()))
    for file, recording in passes.items():
        _analyse(file, connection, SecondPass(model, recording), second_pass, folder)


def _analyse(
    file: str,
    connection: Connection,
    model: EmotionModel,
    options: ListenOptions,
    folder: Path,
) -> None:
    """Write the events of a file to `folder`, and report it as done."""
    source: AudioFile | None = None
    error: str | None = None
    events = folder / f"{uuid.uuid4().hex}.jsonl"
    try:
        with events.open("w", encoding="utf-8") as lines:
            try:
                source = AudioFile(file)
                for event in _listen(source, file, connection, model, options):
                    if not isinstance(event, ProvisionalEvent):
                        row = {"type": event.type, "file": file, **event_row(event)}
                        lines.write(json.dumps(row) + "\n")
            except EmoListenError as unreadable:
                error = str(unreadable)
            except MemoryError:
                error = f"{file} needs more memory than is available"
    except OSError as write_error:
        connection.send(Progress(file, 0.0, write_error=write_error.strerror))
    else:
        position = 0.0 if source is None else source.position
        connection.send(Progress(file, position, done=True, events=events, error=error))


def _listen(
    source: AudioFile,
    file: str,
    connection: Connection,
    model: EmotionModel,
    options: ListenOptions,
) -> Iterator[Event]:
    """Yield the events of a file, and report the progress to the parent process."""
    done, part = 0.0, 1.0
    if isinstance(options.baseline, FirstPass):
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
            connection.send(Progress(file, part * reported, done + part * share))


@contextlib.contextmanager
def _safe_import_path() -> Iterator[None]:
    """Keep the current folder off the import path of processes started in this block.

    `multiprocessing` starts them with a command for which Python puts it first, so a file named
    like a module, such as `signal.py`, would be run.
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
