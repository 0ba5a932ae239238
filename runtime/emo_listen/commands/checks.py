"""What `emo-listen doctor` looks at once its packages are there."""

from __future__ import annotations

import contextlib
import os
import platform
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from emo_listen.audio import load_audio
from emo_listen.commands.finding import Finding
from emo_listen.errors import EmoListenError
from emo_listen.extras import installed_extras
from emo_listen.listener import listen
from emo_listen.model import EmotionModel
from emo_listen.samples import SAMPLE
from emo_listen.sound.levels import SILENT_DBFS, level_dbfs
from emo_listen.sources.base import Gap
from emo_listen.sources.devices import list_input_devices
from emo_listen.sources.microphone import Microphone

INT8_INSTRUCTIONS = ("amx_int8", "avx512_vnni", "avx_vnni", "i8mm", "asimddp")
"""Names in /proc/cpuinfo of the instructions that make int8 fast, on x86 and on ARM."""

MICROPHONE_SECONDS = 1.0
"""How long the microphone is heard."""

RUNS = 15
"""Predictions of which the median time is told."""


def check_processor() -> Iterator[Finding]:
    """Which processor, and whether int8 is fast on it."""
    name, flags = platform.processor() or "unknown", set[str]()
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = (part.strip() for part in line.partition(":"))
            if key == "model name":
                name = value
            elif key in ("flags", "Features"):
                flags = set(value.split())
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield Finding("processor", f"{name}, {usable} cores usable")
    fast = [instruction for instruction in INT8_INSTRUCTIONS if instruction in flags]
    if flags:
        yield Finding(
            "int8", f"fast, by {', '.join(fast)}" if fast else "slow: no VNNI or the like"
        )
    else:
        yield Finding("int8", "this system does not tell which instructions there are")
    yield Finding("onnxruntime", "runs on the CPU; has " + ", ".join(_providers()))


def _providers() -> list[str]:
    return [
        name.removesuffix("ExecutionProvider") for name in onnxruntime.get_available_providers()
    ]


def check_microphones() -> Iterator[Finding]:
    """Whether the default microphone delivers sound."""
    try:
        devices = list_input_devices()
        import sounddevice
    except EmoListenError as error:
        yield Finding("microphone", "none", False, str(error))
        return
    yield Finding("PortAudio", sounddevice.get_portaudio_version()[1])
    yield Finding("input devices", devices)
    try:
        microphone = Microphone()
        level = _level(microphone)
    except EmoListenError as error:
        yield Finding("microphone", "delivers no sound", False, str(error))
        return
    silent = level < SILENT_DBFS
    mend = "it is silent: unmute it, allow access to it, or choose another with --device"
    found = f"{microphone} at {microphone.sampling_rate} Hz, level {level:.0f} dB of full scale"
    yield Finding("microphone", found, not silent, mend if silent else None)


def _level(microphone: Microphone) -> float:
    """Root mean square of a second of sound, in dB of full scale."""
    heard: list[NDArray[np.float32]] = []
    with contextlib.closing(iter(microphone)) as blocks:
        for block in blocks:
            if not isinstance(block, Gap):
                heard.append(block)
            if sum(map(len, heard)) >= MICROPHONE_SECONDS * microphone.sampling_rate:
                break
    return level_dbfs(np.concatenate(heard))


def check_model(folder: Path | None) -> Iterator[Finding]:
    """Whether the model is as it was made, and how fast it is."""
    try:
        model = EmotionModel.load(folder)
    except EmoListenError as error:
        yield Finding("model", "cannot be loaded", False, str(error))
        return
    file, settings = model.file, model.settings
    stored = next(
        (h for name, h in settings.sha256.items() if file.as_posix().endswith(name)), None
    )
    sha256 = f"SHA-256 {stored[:12]}…, verified" if stored else "no SHA-256 to verify"
    size = file.stat().st_size / 1e6
    yield Finding("model", f"{file} ({size:.1f} MB; {sha256})")
    yield Finding("labels", ", ".join(model.labels))
    uncertain = f"uncertain below {settings.uncertain_below:.0%}"
    yield Finding("windows", f"{settings.window:g} s, every {settings.hop:g} s; {uncertain}")
    takes = "taken: emo-listen enroll" if model.head is not None else "this model takes none"
    yield Finding("baseline", takes)
    samples = load_audio(SAMPLE, model.sampling_rate)
    times = [_median_seconds(model, samples[: seconds * model.sampling_rate]) for seconds in (1, 3)]
    started = time.perf_counter()
    for _ in listen(SAMPLE, model=model):
        pass
    faster = len(samples) / model.sampling_rate / (time.perf_counter() - started)
    yield Finding(
        "speed",
        f"1 s of sound in {times[0] * 1000:.0f} ms, 3 s in {times[1] * 1000:.0f} ms (median of "
        f"{RUNS}, one thread); listening {faster:.0f} times faster than real time",
        faster > 1,
        None if faster > 1 else "this machine is too slow: give --hop 1 and --threads 2",
    )


def _median_seconds(model: EmotionModel, samples: NDArray[np.float32]) -> float:
    times = []
    for _ in range(RUNS):
        started = time.perf_counter()
        model.predict(samples, model.sampling_rate)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def check_extras() -> Iterator[Finding]:
    """Which extras are installed."""
    extras = installed_extras()
    found = [extra for extra, installed in extras.items() if installed]
    missing = [extra for extra, installed in extras.items() if not installed]
    mend = (
        f"pip install 'emo-listen[{','.join(missing)}]', where you want them" if missing else None
    )
    yield Finding("extras", ", ".join(found) or "none", mend=mend)
