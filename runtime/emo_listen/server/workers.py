"""Worker processes that decode and run the model for all streams, the most urgent audio first.

Speech detection holds Python's lock while it computes, a millisecond for each 32 ms of speech: in
threads, all cores together would serve no more streams than one. So each worker is a process, with
a thread here that passes it one command after the other.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import multiprocessing
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from emo_listen.engine import ListenOptions
from emo_listen.errors import EmoListenError
from emo_listen.import_path import safe_import_path
from emo_listen.server.audio_request import AudioRequest
from emo_listen.server.processing import Part, run_worker
from emo_listen.server.refusal import Refusal

STALLED_SECONDS = 60.0
"""Time without an answer after which a worker is killed, in seconds. Half a second of audio takes
0.03 s with the bundled model."""


class Workers:
    """A group of processes; each stream belongs to one of them."""

    def __init__(self, count: int, model: Path | None, options: ListenOptions) -> None:
        """Start `count` processes with the model in a folder, the bundled one where None.

        Raises:
            EmoListenError: The model or the options cannot be used.
        """
        self._workers = [_Worker(model, options) for _ in range(count)]
        self._numbers = itertools.count()
        answers = [worker.wait_until_ready() for worker in self._workers]
        for answer in answers:
            if isinstance(answer, EmoListenError):
                self.close()
                raise answer
        self.model_row: dict[str, Any] = answers[0]
        """What clients are told of the model."""
        for worker in self._workers:
            worker.start()

    @property
    def count(self) -> int:
        """Number of processes."""
        return len(self._workers)

    @property
    def busy_seconds(self) -> float:
        """Computing time of all processes, in seconds."""
        return sum(worker.busy_seconds for worker in self._workers)

    def measure(self) -> float:
        """Return the seconds of speech that all processes together process in a second."""
        futures: list[Future[float]] = [one.submit(0, ("measure", 0)) for one in self._workers]
        return sum(future.result() for future in futures)

    @contextlib.contextmanager
    def task(self) -> Iterator[TaskHandle]:
        """Hold a place for a stream or recording in the process that has fewest."""
        worker = min(self._workers, key=lambda one: one.tasks)
        handle = TaskHandle(worker, next(self._numbers))
        worker.tasks += 1
        try:
            yield handle
        finally:
            worker.tasks -= 1
            handle.close()

    def close(self) -> None:
        """End all processes."""
        for worker in self._workers:
            worker.close()


class TaskHandle:
    """One stream or recording in a worker. Used only in the event loop's thread.

    A part of audio is due its own duration after it came. What comes faster than real time is due
    later and later, so that a client that floods waits for those in real time.
    """

    def __init__(self, worker: _Worker, number: int) -> None:
        self._worker = worker
        self._number = number
        self._due = 0.0

    async def open(self, request: AudioRequest) -> None:
        """Begin.

        Raises:
            Refusal: The request cannot be served.
        """
        part = await self.do(0.0, "open", request)
        if part.problem is not None:
            raise Refusal(*part.problem)

    async def do(self, seconds: float, command: str, *arguments: Any) -> Part:
        """Call a method of `processing.Task`; `seconds` is the audio that it processes, about."""
        self._due = max(self._due, time.monotonic()) + seconds
        future = self._worker.submit(self._due, (command, self._number, *arguments))
        part: Part = await asyncio.wrap_future(future)
        return part

    def close(self) -> None:
        """End the task, also while it works."""
        self._worker.submit(self._due + STALLED_SECONDS, ("close", self._number))


class _Worker:
    """A process, and the thread that talks to it."""

    def __init__(self, model: Path | None, options: ListenOptions) -> None:
        self.tasks = 0
        self.busy_seconds = 0.0
        self._model = model
        self._options = options
        self._jobs: list[tuple[float, int, Future[Any], tuple[Any, ...]]] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="worker", daemon=True)
        self._process, self._connection = self._start_process()

    def _start_process(self) -> tuple[BaseProcess, Connection]:
        # Forked processes would inherit locks that other threads hold.
        context = multiprocessing.get_context("spawn")
        connection, child_connection = context.Pipe()
        process = context.Process(
            target=run_worker, args=(child_connection, self._model, self._options), daemon=True
        )
        with safe_import_path():
            process.start()
        child_connection.close()
        return process, connection

    def wait_until_ready(self) -> Any:
        """Return the first answer of the process: see `run_worker`."""
        try:
            return self._connection.recv()
        except (EOFError, ConnectionResetError):
            return EmoListenError("a worker process ended while it loaded the model")

    def start(self) -> None:
        """Begin to pass commands."""
        self._thread.start()

    def submit(self, due: float, command: tuple[Any, ...]) -> Future[Any]:
        """Queue a command, and return the future of its answer; earlier due times come first."""
        future: Future[Any] = Future()
        with self._changed:
            heapq.heappush(self._jobs, (due, next(self._numbers), future, command))
            self._changed.notify()
        return future

    def close(self) -> None:
        """Cancel what has not begun, and end the process."""
        with self._changed:
            self._closed = True
            for *_, future, _ in self._jobs:
                future.cancel()
            self._changed.notify()
        self._process.kill()
        if self._thread.is_alive():
            self._thread.join()
        self._process.join()
        self._connection.close()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._jobs and not self._closed:
                    self._changed.wait()
                if self._closed:
                    return
                *_, future, command = heapq.heappop(self._jobs)
            # A task is closed even if nobody waits for the answer.
            if future.set_running_or_notify_cancel():
                started = time.perf_counter()
                future.set_result(self._call(command))
                self.busy_seconds += time.perf_counter() - started

    def _call(self, command: tuple[Any, ...]) -> Any:
        """Return the process's answer; if it crashes or stalls, start another."""
        try:
            self._connection.send(command)
            if self._connection.poll(STALLED_SECONDS):
                return self._connection.recv()
        except (EOFError, OSError):
            pass
        if not self._closed:
            self._process.kill()
            self._process.join()
            self._connection.close()
            self._process, self._connection = self._start_process()
            self.wait_until_ready()
        return Part(problem=("internal", "a worker crashed on this audio: send it again"))
