"""What a worker process does: decodes audio, runs sessions, and measures how much it can do."""

from __future__ import annotations

import io
import json
import signal
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from emo_listen.audio import load_audio, open_audio_file
from emo_listen.decoding.base import Block
from emo_listen.engine import ListenOptions
from emo_listen.errors import EmoListenError
from emo_listen.events import Event, LabelEvent
from emo_listen.model import EmotionModel
from emo_listen.samples import SAMPLE
from emo_listen.server.audio_request import AudioRequest
from emo_listen.server.limits import PART_SECONDS
from emo_listen.server.refusal import Refusal, as_refusal
from emo_listen.server.stream_input import StreamInput, open_input
from emo_listen.session import Session
from emo_listen.sinks.jsonl import event_row

MEASURING_SECONDS = 1.0
"""How long a worker measures what it can do, in seconds."""


@dataclass(frozen=True)
class Part:
    """What came of a part of audio."""

    events: tuple[str, ...] = ()
    """Events as JSON."""

    labels: int = 0
    """How many of them have a label."""

    more: bool = False
    """Whether a part is left of what was sent."""

    seconds: float = 0.0
    """Audio of the whole stream up to here, in seconds."""

    new_seconds: float = 0.0
    """Audio of this part, in seconds."""

    windows: int = 0
    """Runs of the model for this part."""

    problem: tuple[str, str] | None = None
    """Code and message of why no more can be processed."""


class Task:
    """One stream or recording."""

    def __init__(self, model: EmotionModel, options: ListenOptions, request: AudioRequest) -> None:
        """Prepare for audio.

        Raises:
            Refusal: The request cannot be served.
        """
        self._session = Session(model, request.options(options))
        self._input: StreamInput | None = None if request.format == "file" else open_input(request)
        self._rate = 0 if self._input is None else self._input.sampling_rate
        self._blocks: Iterator[Block] = iter(())

    def push(self, data: bytes) -> Part:
        """Process the first part of bytes of a stream, or of a whole recording in a file."""
        if self._input is None:
            self._blocks = self._file_blocks(data)
        else:
            self._blocks = self._input.push(data)
        return self.go_on()

    def go_on(self) -> Part:
        """Process the next part of what was pushed."""
        return self._part(self._next_events())

    def finish(self) -> Part:
        """Process what is left, and end the stream."""
        return self._part(self._last_events())

    def close(self) -> None:
        """Free what decoding holds."""
        if self._input is not None:
            self._input.close()

    def _file_blocks(self, data: bytes) -> Iterator[Block]:
        with open_audio_file(io.BytesIO(data), "recording") as file:
            self._rate = file.sampling_rate
            length = max(1, int(PART_SECONDS * self._rate))
            for block in file.blocks():
                for start in range(0, len(block), length):
                    yield block[start : start + length]

    def _next_events(self) -> Iterator[Event | None]:
        """Yield the events of a part, and None if another is left."""
        count = 0
        for block in self._blocks:
            yield from self._session.push(block, self._rate)
            count += len(block)
            if count > PART_SECONDS * self._rate or self._input is None:
                yield None
                return

    def _last_events(self) -> Iterator[Event]:
        problem: EmoListenError | None = None
        if self._input is not None:
            try:
                for block in self._input.finish():
                    yield from self._session.push(block, self._rate)
            except Refusal as error:
                problem = error
        yield from self._session.finish()
        if problem is not None:
            raise problem

    def _part(self, events: Iterable[Event | None]) -> Part:
        windows, seconds = self._session.windows, self._session.seconds
        rows: list[str] = []
        labels = 0
        more = False
        problem: tuple[str, str] | None = None
        try:
            for event in events:
                if event is None:
                    more = True
                    continue
                rows.append(json.dumps(event_row(event)))
                labels += isinstance(event, LabelEvent)
        except EmoListenError as error:
            refusal = as_refusal(error)
            problem = (refusal.code, str(refusal))
        return Part(
            tuple(rows),
            labels,
            more,
            self._session.seconds,
            self._session.seconds - seconds,
            self._session.windows - windows,
            problem,
        )


def model_row(model: EmotionModel, options: ListenOptions) -> dict[str, Any]:
    """Return name, labels and times (in seconds) of a model, as JSON."""
    window, hop = options.window_and_hop(model.settings)
    return {
        "model": model.name,
        "labels": model.labels,
        "window": window,
        "hop": hop,
        "baseline": model.head is not None,
    }


def measure(model: EmotionModel, options: ListenOptions) -> float:
    """Return the seconds of speech that a worker processes in a second."""
    samples = load_audio(SAMPLE, model.sampling_rate)
    length = round(PART_SECONDS * model.sampling_rate / 5)
    session = Session(model, options)
    started = time.perf_counter()
    start = 0
    while (elapsed := time.perf_counter() - started) < MEASURING_SECONDS:
        session.push(samples[start : start + length], model.sampling_rate)
        start = (start + length) % (len(samples) - length)
    return session.seconds / elapsed


def run_worker(connection: Connection, folder: Path | None, options: ListenOptions) -> None:
    """Answer the commands of the parent process until it closes the connection.

    The first answer is what `model_row` returns, or the error because of which the model cannot be
    used. A command is the name of a method of `Task`, the number of the task, and arguments; `open`
    and `close` begin and end a task.
    """
    # The parent, which gets these too, first lets streams finish.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    try:
        model = EmotionModel.load(folder)
        connection.send(model_row(model, options))
    except EmoListenError as error:
        connection.send(error)
        return
    tasks: dict[int, Task] = {}
    try:
        while True:
            connection.send(_answer(connection.recv(), tasks, model, options))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass  # The parent has ended.


def _answer(
    command: tuple[Any, ...], tasks: dict[int, Task], model: EmotionModel, options: ListenOptions
) -> Any:
    name, number, *arguments = command
    if name == "measure":
        return measure(model, options)
    if name == "open":
        try:
            tasks[number] = Task(model, options, *arguments)
        except EmoListenError as error:
            refusal = as_refusal(error)
            return Part(problem=(refusal.code, str(refusal)))
        return Part()
    if name == "close":
        if number in tasks:
            tasks.pop(number).close()
        return Part()
    if number not in tasks:
        return Part(problem=("internal", "the worker of this stream crashed: send it again"))
    answer: Part = getattr(tasks[number], name)(*arguments)
    return answer
