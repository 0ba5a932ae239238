"""Worker threads that run the model for all streams, the most urgent part of audio first.

onnxruntime releases Python's lock while it computes, so the threads use all cores and the event
loop stays free.
"""

from __future__ import annotations

import heapq
import itertools
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class Workers:
    """A pool of threads with a queue that is ordered by due times."""

    def __init__(self, count: int) -> None:
        """Start `count` threads."""
        self.count = count
        self.busy_seconds = 0.0
        """Computing time of all threads, in seconds."""
        self._jobs: list[tuple[float, int, Future[Any], Callable[[], Any]]] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._closed = False
        self._threads = [
            threading.Thread(target=self._run, name=f"worker-{i}", daemon=True)
            for i in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, due: float, function: Callable[..., T], *args: Any) -> Future[T]:
        """Queue a call, and return its future; earlier due times come first."""
        future: Future[T] = Future()
        with self._changed:
            heapq.heappush(self._jobs, (due, next(self._numbers), future, lambda: function(*args)))
            self._changed.notify()
        return future

    def close(self) -> None:
        """Cancel what has not begun, and wait for what has."""
        with self._changed:
            self._closed = True
            for *_, future, _ in self._jobs:
                future.cancel()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._jobs and not self._closed:
                    self._changed.wait()
                if self._closed:
                    return
                *_, future, call = heapq.heappop(self._jobs)
            if not future.set_running_or_notify_cancel():
                continue
            started = time.perf_counter()
            try:
                future.set_result(call())
            except BaseException as error:  # Raised where the result is awaited.
                future.set_exception(error)
            with self._changed:
                self.busy_seconds += time.perf_counter() - started


class Turn:
    """The due times of one stream.

    A part of audio is due its own duration after it came. What comes faster than real time is due
    later and later, so that a client that floods waits for those in real time.
    """

    def __init__(self) -> None:
        self._due = 0.0

    def next(self, seconds: float) -> float:
        """Return when a part of `seconds` is due, in seconds of `time.monotonic`."""
        self._due = max(self._due, time.monotonic()) + seconds
        return self._due
