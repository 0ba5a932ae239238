"""Workers on a Ray cluster that analyse files, each with its own model: `--engine ray`.

Each worker is an actor on one core, which gets its next group when all events of the last one have
arrived, so nothing piles up. If a worker dies, its group is analysed again by another; only a file
that was being analysed at three deaths fails.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from emo_listen.commands.analysis import Progress, analyse_group
from emo_listen.commands.workers import STALLED_SECONDS
from emo_listen.engine import ListenOptions
from emo_listen.errors import ClusterError, EmoListenError, OutputError
from emo_listen.extras import import_extra
from emo_listen.import_path import safe_import_path
from emo_listen.model import EmotionModel
from emo_listen.model_settings import file_sha256
from emo_listen.sources.stored_file import is_stored

ray: Any = import_extra("ray", "ray")

ATTEMPTS = 3
"""Deaths of workers during the same file after which it fails: a machine that is taken away costs
one, a file that crashes its decoder all."""

FAILED_STARTS = 3
"""Workers that die before they start, with none that starts in between, after which the cluster is
given up."""

MESSAGE_BYTES = 1 << 22
"""Most bytes of events in one message."""

MESSAGES_AHEAD = 8
"""Messages that a worker may send before it waits for the first to be read."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Started:
    """A worker has its model and begins with its group."""


@dataclass(frozen=True)
class _Unseen:
    """A worker does not find a file."""

    file: str
    machine: str


@dataclass
class _Voice:
    """A group of files."""

    files: list[str]
    """Its files, but for those that failed: all are read again to estimate the same baseline."""

    left: set[str]
    """Files that are not done yet."""


@dataclass
class _Worker:
    actor: Any
    voice: _Voice
    events: Path
    """Where the events of its file are collected."""

    file: str
    """The file that it analyses now."""

    reported: float | None = None
    """Time of its last report, in seconds of `time.monotonic`; None before it has started."""


class Analyser:
    """The actor: analyses groups of files with one model."""

    def __init__(self, folder: str, model: Path | None, release: str, sha256: str) -> None:
        """Prepare to analyse.

        Args:
            folder: The folder that relative paths begin at.
            model: The model's folder; None for the bundled model.
            release: The version of emo-listen that every worker must have.
            sha256: The hash of the network that every worker must have.
        """
        # Where the folder is missing, relative files are, too, and are reported.
        with contextlib.suppress(OSError):
            os.chdir(folder)
        self._model_folder = model
        self._release = release
        self._sha256 = sha256
        self._model: EmotionModel | None = None

    def analyse(
        self, files: list[str], options: ListenOptions
    ) -> Iterator[_Started | _Unseen | bytes | Progress]:
        """Yield the progress on each file of a group, and its events in pieces before it is done.

        Raises:
            ClusterError: emo-listen or the model on this machine is another.
            ModelError: the model cannot be loaded.
        """
        if self._model is None:
            self._model = self._checked_model()
        yield _Started()
        for file in files:
            if not is_stored(file) and not os.path.lexists(file):
                yield _Unseen(file, socket.gethostname())
        with tempfile.TemporaryDirectory(prefix="emo-listen-") as folder:
            for progress in analyse_group(files, self._model, options, Path(folder)):
                if progress.events is not None:
                    with progress.events.open("rb") as lines:
                        while piece := lines.read(MESSAGE_BYTES):
                            yield piece
                    progress.events.unlink()
                yield replace(progress, events=None)

    def _checked_model(self) -> EmotionModel:
        machine = socket.gethostname()
        if version("emo-listen") != self._release:
            raise ClusterError(
                f"{machine} has emo-listen {version('emo-listen')}: install {self._release} there"
            )
        model = EmotionModel.load(self._model_folder)
        if file_sha256(model.file) != self._sha256:
            raise ClusterError(f"{machine} has another model in {model.file.parent}: copy it there")
        return model


def analyse_files_with_ray(
    groups: Sequence[Sequence[str]],
    *,
    model: Path | None,
    options: ListenOptions,
    jobs: int | None,
    folder: Path,
) -> Generator[Progress, None, None]:
    """Analyse files on a Ray cluster; yield the progress on each, as `analyse_files` does.

    The cluster is the one that the environment variable `RAY_ADDRESS` names, or else one on this
    machine that ends with the iterator.

    Args:
        groups: The sound files; with the baseline `auto`, the files of a group are one voice.
        model: The model's folder, the same on all machines; None for the bundled model.
        options: The options for all files.
        jobs: Number of workers; None for one on each core of the cluster.
        folder: Where to store the events of a file; removed after its last report.

    Raises:
        ClusterError: the cluster cannot be reached, or a machine of it cannot analyse.
        OutputError: `folder` cannot be written.
    """
    sha256 = file_sha256(EmotionModel.load(model).file)
    folder_of_files = os.getcwd()
    with _connected(jobs, folder):
        actor_class = ray.remote(num_cpus=1)(Analyser)
        place = None if model is None else model.absolute()
        crew = _Crew(
            [_Voice(list(group), set(group)) for group in groups],
            lambda: actor_class.remote(folder_of_files, place, version("emo-listen"), sha256),
            options,
            folder,
        )
        yield from crew.run(jobs or int(ray.cluster_resources().get("CPU", 1)))


@contextlib.contextmanager
def _connected(jobs: int | None, folder: Path) -> Iterator[None]:
    address = os.environ.get("RAY_ADDRESS") or "local"
    if "://" in address:
        raise ClusterError(
            f"RAY_ADDRESS is {address}: run emo-listen on a machine of the cluster, with "
            "RAY_ADDRESS=auto, or with `ray job submit`"
        )
    own = {"num_cpus": jobs, "include_dashboard": False} if address == "local" else {}
    try:
        # Workers import from the current folder of this moment, which holds no code.
        with contextlib.chdir(folder), safe_import_path():
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **own)
    except (OSError, RuntimeError, ValueError) as error:
        text = str(error).strip().partition("\n")[0]
        raise ClusterError(
            f"the Ray cluster {address} cannot be used: {text}. Check RAY_ADDRESS, or unset it for "
            "a cluster on this machine"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


@dataclass
class _Crew:
    """The workers, and the groups that wait for one."""

    waiting: list[_Voice]
    make_actor: Any
    options: ListenOptions
    folder: Path
    workers: dict[Any, _Worker] = field(default_factory=dict)
    """Each busy worker by the stream of its messages, the one heard last at the end."""

    deaths: Counter[str] = field(default_factory=Counter)
    """Deaths of workers by the file that they were analysing."""

    failed_starts: int = 0

    def run(self, jobs: int) -> Iterator[Progress]:
        """Yield the progress on all files."""
        self.waiting.reverse()
        for _ in range(min(jobs, len(self.waiting))):
            self._assign(self.make_actor())
        while self.workers:
            streams, _ = ray.wait(list(self.workers), num_returns=1, timeout=STALLED_SECONDS)
            self._kill_stalled(except_for=streams)
            for stream in streams:
                worker = self.workers.pop(stream)
                try:
                    message = ray.get(next(stream))
                except StopIteration:
                    if self.waiting:
                        self._assign(worker.actor)
                    else:
                        ray.kill(worker.actor)
                except ray.exceptions.RayError as error:
                    yield from self._replace(worker, error)
                else:
                    self.workers[stream] = worker
                    yield from self._receive(worker, message)

    def _assign(self, actor: Any) -> None:
        voice = self.waiting.pop()
        stream = actor.analyse.options(
            num_returns="streaming", _generator_backpressure_num_objects=MESSAGES_AHEAD
        ).remote(voice.files, self.options)
        events = self.folder / f"{uuid.uuid4().hex}.jsonl"
        self.workers[stream] = _Worker(actor, voice, events, voice.files[0])

    def _receive(self, worker: _Worker, message: Any) -> Iterator[Progress]:
        worker.reported = time.monotonic()
        if isinstance(message, _Started):
            self.failed_starts = 0
        elif isinstance(message, _Unseen):
            if os.path.lexists(message.file):
                raise ClusterError(
                    f"{message.machine} does not find {message.file}: all machines of the cluster "
                    "need the files at the same path"
                )
        elif isinstance(message, bytes):
            try:
                with worker.events.open("ab") as lines:
                    lines.write(message)
            except OSError as error:
                raise OutputError(f"{self.folder} cannot be written: {error.strerror}") from error
        else:
            yield from self._report(worker, message)

    def _report(self, worker: _Worker, progress: Progress) -> Iterator[Progress]:
        if progress.write_error is not None:
            raise OutputError(f"a worker cannot write its events: {progress.write_error}")
        worker.file = progress.file
        if progress.file in worker.voice.left:
            events = worker.events if worker.events.exists() else None
            yield replace(progress, events=events if progress.done else None)
        if progress.done:
            worker.events.unlink(missing_ok=True)
            worker.voice.left.discard(progress.file)
            index = worker.voice.files.index(progress.file) + 1
            worker.file = worker.voice.files[index % len(worker.voice.files)]

    def _replace(self, worker: _Worker, error: Exception) -> Iterator[Progress]:
        """Let a new worker continue with the group of one that died."""
        cause = getattr(error, "cause", None)
        if isinstance(cause, EmoListenError):
            raise ClusterError(f"a worker cannot analyse: {cause}") from error
        ray.kill(worker.actor)
        worker.events.unlink(missing_ok=True)
        voice, file = worker.voice, worker.file
        if worker.reported is None:
            self.failed_starts += 1
            if self.failed_starts >= FAILED_STARTS:
                raise ClusterError(
                    f"no worker starts ({error}). Install emo-listen[ray] on all machines of the "
                    "cluster"
                ) from error
        else:
            self.deaths[file] += 1
            _log.warning("A worker died at %s; its files are analysed again", file)
        if self.deaths[file] >= ATTEMPTS:
            if file in voice.left:
                reason = f"analysing it crashed {ATTEMPTS} workers"
                yield Progress(file, 0.0, done=True, error=reason)
            voice.files.remove(file)
            voice.left.discard(file)
        if voice.left:
            self.waiting.append(voice)
        if self.waiting:
            self._assign(self.make_actor())

    def _kill_stalled(self, except_for: list[Any]) -> None:
        for stream, worker in self.workers.items():
            stalled = worker.reported and time.monotonic() - worker.reported > STALLED_SECONDS
            if stalled and stream not in except_for:
                ray.kill(worker.actor)
