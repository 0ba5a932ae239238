"""Processes that try inputs, one at a time, bounded in time and memory."""

from __future__ import annotations

import multiprocessing
import os
import random
import resource
import tempfile
import time
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.connection import Connection, wait
from pathlib import Path

SECONDS = 60.0
"""Longest that an input may take, on a machine however busy."""

START_SECONDS = 120.0
"""Longest that a process may take to begin, beside that."""

MEMORY = 1 << 30
"""Most that an input may add to what its process has used before, in bytes."""

ADDRESS_SPACE = 8 << 30
"""Most that a process may reserve, lest the machine suffer, in bytes."""


@dataclass(frozen=True)
class Input:
    """Names an input; the same name gives the same input."""

    kind: str
    seed: int
    number: int

    def __str__(self) -> str:
        return f"--kind {self.kind} --seed {self.seed} --only {self.number}"


@dataclass(frozen=True)
class Result:
    input: Input
    outcome: str
    """`taken`, `refused` or `fault`."""
    fault: str = ""


class _Worker:
    def __init__(self, given: Input, folder: str) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs, folder), daemon=True)
        self.process.start()
        theirs.close()
        self.give(given)
        self.deadline += START_SECONDS

    def give(self, given: Input) -> None:
        self.input = given
        self.deadline = time.monotonic() + SECONDS
        self.connection.send(given)

    def end(self) -> int | None:
        self.process.join(timeout=0.5)  # One that has died keeps its own exit code.
        self.process.kill()
        self.process.join()
        return self.process.exitcode


def run(inputs: Iterable[Input], *, jobs: int) -> Iterator[Result]:
    """Try the inputs in `jobs` processes; yield what became of each, in any order."""
    waiting = iter(inputs)
    workers: list[_Worker] = []
    temporary = tempfile.TemporaryDirectory()
    try:
        for _ in range(jobs):
            if (given := next(waiting, None)) is not None:
                workers.append(_Worker(given, temporary.name))
        while workers:
            ready = wait([worker.connection for worker in workers], timeout=1)
            for worker in list(workers):
                late = time.monotonic() > worker.deadline
                if worker.connection not in ready and not late:
                    continue
                try:
                    if worker.connection not in ready:
                        raise TimeoutError
                    yield Result(worker.input, *worker.connection.recv())
                    alive = True
                except (EOFError, ConnectionResetError, TimeoutError):
                    died = f"the process died (exit code {worker.end()})"
                    fault = f"not done after {SECONDS:g} s" if late else died
                    yield Result(worker.input, "fault", fault)
                    alive = False
                given = next(waiting, None)
                if given is not None and alive:
                    worker.give(given)
                    continue
                worker.end()
                workers.remove(worker)
                if given is not None:
                    workers.append(_Worker(given, temporary.name))
    finally:
        for worker in workers:
            worker.end()
        temporary.cleanup()


def _work(connection: Connection, folder: str) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):  # Libraries write there, too.
        os.dup2(nowhere, stream)
    prepared: dict[str, Path] = {}
    while True:
        given: Input = connection.recv()
        kind = import_module(f"tests.fuzz.kinds.{given.kind}")
        if given.kind not in prepared:
            prepared[given.kind] = Path(tempfile.mkdtemp(dir=folder))
            kind.prepare(prepared[given.kind])
        before = _peak_memory()
        try:
            source = random.Random(f"{given.seed} {given.number}")
            outcome, fault = kind.attempt(source, prepared[given.kind]), ""
        except BaseException:
            outcome, fault = "fault", traceback.format_exc(limit=-3)
        if (more := _peak_memory() - before) > MEMORY:
            outcome, fault = "fault", f"{more >> 20} MiB more memory"
        connection.send((outcome, fault))


def _peak_memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
