"""The client: many streams in real time, in one event loop, and when each event came."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import psutil
from tqdm import tqdm
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from benchmarks.serving.server import Server, cpu_seconds
from benchmarks.serving.sounds import Sound

STAGGER = 2.0
"""Seconds within which the streams of a load begin, at random. They are not measured."""

CATCH_UP = 60.0
"""Longest time for the server to finish after the last sample, in seconds. It holds 5 s of audio of
a stream, and the network's buffers a few more."""

SAMPLING_SECONDS = 0.5
"""Time from one measurement of the server to the next, in seconds."""


@dataclass
class Played:
    """What happened to one stream."""

    sound: Sound
    """What was sent."""

    begin: float = 0.0
    """When its first sample was taken, in seconds of the loop's clock."""

    events: list[str] = field(default_factory=list)
    """The events that came, as JSON."""

    windows: list[tuple[float, float]] = field(default_factory=list)
    """For each window: when its last sample was due to be sent, and when its event came, in seconds
    of the loop's clock."""

    problem: str | None = None
    """Why the stream ended early; None if it did not."""


@dataclass(frozen=True)
class Usage:
    """What the server and the client had used at one time."""

    at: float
    """Seconds of the loop's clock."""

    resident_mib: float
    """Resident memory of the server, in MiB."""

    server_cpu: float
    """CPU time of the server so far, in seconds."""

    client_cpu: float
    """CPU time of the client so far, in seconds."""


@dataclass(frozen=True)
class Load:
    """A load that has run."""

    streams: list[Played]
    """Each stream."""

    usage: list[Usage]
    """While all streams were sending."""

    begin: float
    """When all streams were sending, in seconds of the loop's clock."""

    end: float
    """When the first of them had sent all, in seconds of the loop's clock."""

    @property
    def delays(self) -> list[float]:
        """Seconds from when a window's last sample was due to be sent until its event came."""
        return [
            came - due
            for played in self.streams
            for due, came in played.windows
            if self.begin <= due <= self.end
        ]


def run_load(server: Server, sounds: Sequence[Sound], streams: int, title: str) -> Load:
    """Send `streams` streams in real time, the `sounds` in turn, all of one length.

    Args:
        server: to send to.
        sounds: what to send.
        streams: number of streams.
        title: of the progress bar.
    """
    return asyncio.run(
        _run(server, list(itertools.islice(itertools.cycle(sounds), streams)), title)
    )


async def _run(server: Server, sounds: list[Sound], title: str) -> Load:
    loop = asyncio.get_running_loop()
    streams = [Played(sound) for sound in sounds]
    seconds = sounds[0].length / sounds[0].sampling_rate
    begin: asyncio.Future[float] = loop.create_future()
    waiting = asyncio.Semaphore(0)
    generator = np.random.default_rng(len(streams))
    tasks = [
        asyncio.create_task(_play(server.address, played, waiting, begin, delay))
        for played, delay in zip(streams, generator.uniform(0, STAGGER, len(streams)), strict=True)
    ]
    for _ in streams:
        await waiting.acquire()
    begin.set_result(loop.time())
    measured = begin.result() + STAGGER, begin.result() + seconds
    _, usage = await asyncio.gather(
        _finish(tasks, streams, seconds + STAGGER + CATCH_UP), _watch(server, *measured, title)
    )
    return Load(streams, usage, *measured)


async def _finish(
    tasks: list[asyncio.Task[None]], streams: list[Played], most_seconds: float
) -> None:
    """Wait for all streams, but no longer than `most_seconds`."""
    _, late = await asyncio.wait(tasks, timeout=most_seconds)
    for task, played in zip(tasks, streams, strict=True):
        if task in late:
            played.problem = f"not finished {CATCH_UP:g} s after the last sample"
            task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for task in tasks:
        if not task.cancelled():
            task.result()


async def _watch(server: Server, begin: float, end: float, title: str) -> list[Usage]:
    """Measure what the server and the client use from `begin` to `end`."""
    loop = asyncio.get_running_loop()
    client = psutil.Process()
    usage: list[Usage] = []
    await asyncio.sleep(begin - loop.time())
    total = round(end - begin)
    with tqdm(total=total, desc=title, unit="s") as progress:
        while not usage or loop.time() < end:
            used = server.resident_mib, server.cpu_seconds, cpu_seconds(client)
            usage.append(Usage(loop.time(), *used))
            await asyncio.sleep(SAMPLING_SECONDS)
            progress.update(min(total, round(loop.time() - begin)) - progress.n)
    return usage


async def _play(
    address: str,
    played: Played,
    waiting: asyncio.Semaphore,
    begin: asyncio.Future[float],
    delay: float,
) -> None:
    """Connect, wait for all others, and send one stream from `delay` seconds after `begin` on."""
    options = {
        "format": "s16le",
        "sampling_rate": played.sound.sampling_rate,
        "emit": "all",
    }
    try:
        async with connect(
            address, compression=None, ping_interval=None, proxy=None, open_timeout=CATCH_UP
        ) as socket:
            with contextlib.suppress(ConnectionClosed):  # A refusal may come first.
                await socket.send(json.dumps(options))
            ready = json.loads(await socket.recv())
            waiting.release()
            if ready["type"] != "ready":
                played.problem = ready["code"]
                return
            played.begin = await begin + delay
            await asyncio.gather(_send(socket, played), _receive(socket, played))
    except (OSError, WebSocketException) as error:
        played.problem = played.problem or str(error)
    finally:
        waiting.release()  # A stream that never was ready keeps no other waiting.


async def _send(socket: ClientConnection, played: Played) -> None:
    """Send the sound as a microphone would: each block once its last sample was taken."""
    loop = asyncio.get_running_loop()
    sent = 0
    with contextlib.suppress(ConnectionClosed):  # What was received says why.
        for block in played.sound:
            sent += len(block)
            due = played.begin + sent / played.sound.sampling_rate
            await asyncio.sleep(due - loop.time())
            await socket.send(block.astype("<i2").tobytes())
        await socket.send(json.dumps({"type": "end"}))


async def _receive(socket: ClientConnection, played: Played) -> None:
    """Take events until the stream's end."""
    loop = asyncio.get_running_loop()
    while True:
        text = await socket.recv(decode=True)
        came = loop.time()
        event = json.loads(text)
        if event["type"] == "end":
            return
        if event["type"] == "error":
            played.problem = event["code"]
            continue
        played.events.append(text)
        if event["type"] == "window":
            due = played.begin + played.sound.sent_after(event["end"])
            played.windows.append((due, came))
