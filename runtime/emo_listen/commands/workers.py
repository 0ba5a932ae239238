"""Processes that analyse files in parallel, each with its own model.

Files of one voice form a group, which one process analyses as a whole. If a file kills its process,
as a damaged one may crash a decoder, only that file fails: the error names it, and a new process
continues with the rest of the group.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from emo_listen.commands.analysis import Progress, analyse_group
from emo_listen.engine import ListenOptions
from emo_listen.errors import OutputError
from emo_listen.import_path import safe_import_path
from emo_listen.model import EmotionModel

STALLED_SECONDS = 600.0
"""Time without a progress report after which a process is killed, in seconds: a hundred times what
the slowest model takes for two seconds of sound on a slow device."""


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
        with safe_import_path():
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
            for progress in analyse_group(files, model, options, folder):
                connection.send(progress)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass  # The parent was killed; the next run continues.
