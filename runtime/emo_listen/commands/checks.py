"""The checks of `emo-listen doctor` that need the packages installed."""

from __future__ import annotations

import contextlib
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
from emo_listen.cores import usable_cores
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
"""Instructions that make int8 fast, on x86 and ARM, as named in /proc/cpuinfo."""

MICROPHONE_SECONDS = 1.0
"""How long the microphone is recorded, in seconds."""

RUNS = 15
"""Number of predictions whose median time is reported."""


def check_processor() -> Iterator[Finding]:
    """Report the processor, and whether int8 is fast on it."""
    name, flags = platform.processor() or "unknown", set[str]()
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = (part.strip() for part in line.partition(":"))
            if key == "model name":
                name = value
            elif key in ("flags", "Features"):
                flags = set(value.split())
    yield Finding("processor", f"{name}, {usable_cores()} usable cores")
    fast = [instruction for instruction in INT8_INSTRUCTIONS if instruction in flags]
    if flags:
        yield Finding(
            "int8", f"fast ({', '.join(fast)})" if fast else "slow: no VNNI or similar instructions"
        )
    else:
        yield Finding("int8", "speed unknown: no list of instructions on this system")
    yield Finding("onnxruntime", "uses the CPU; providers: " + ", ".join(_providers()))


def _providers() -> list[str]:
    return [
        name.removesuffix("ExecutionProvider") for name in onnxruntime.get_available_providers()
    ]


def check_microphones() -> Iterator[Finding]:
    """Check whether the default microphone delivers sound."""
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
    advice = "it is silent: unmute it, allow access to it, or choose another one with --device"
    found = f"{microphone} at {microphone.sampling_rate} Hz, level {level:.0f} dB of full scale"
    yield Finding("microphone", found, not silent, advice if silent else None)


def _level(microphone: Microphone) -> float:
    """Record the microphone; return the root mean square in dB of full scale."""
    recorded: list[NDArray[np.float32]] = []
    with contextlib.closing(iter(microphone)) as blocks:
        for block in blocks:
            if not isinstance(block, Gap):
                recorded.append(block)
            if sum(map(len, recorded)) >= MICROPHONE_SECONDS * microphone.sampling_rate:
                break
    return level_dbfs(np.concatenate(recorded))


def check_model(folder: Path | None) -> Iterator[Finding]:
    """Check the model's files, and measure its speed."""
    try:
        model = EmotionModel.load(folder)
    except EmoListenError as error:
        yield Finding("model", "cannot be loaded", False, str(error))
        return
    file, settings = model.file, model.settings
    stored = next(
        (h for name, h in settings.sha256.items() if file.as_posix().endswith(name)), None
    )
    sha256 = f"SHA-256 {stored[:12]}…, verified" if stored else "no SHA-256 stored"
    size = file.stat().st_size / 1e6
    yield Finding("model", f"{file} ({size:.1f} MB; {sha256})")
    yield Finding("labels", ", ".join(model.labels))
    uncertain = f"uncertain below {settings.uncertain_below:.0%}"
    yield Finding("windows", f"{settings.window:g} s, every {settings.hop:g} s; {uncertain}")
    supported = "supported: emo-listen enroll" if model.head is not None else "not supported"
    yield Finding("baseline", supported)
    samples = load_audio(SAMPLE, model.sampling_rate)
    times = [_median_seconds(model, samples[: seconds * model.sampling_rate]) for seconds in (1, 3)]
    started = time.perf_counter()
    for _ in listen(SAMPLE, model=model):
        pass
    speed = len(samples) / model.sampling_rate / (time.perf_counter() - started)
    yield Finding(
        "speed",
        f"1 s of sound in {times[0] * 1000:.0f} ms, 3 s in {times[1] * 1000:.0f} ms (median of "
        f"{RUNS}, one thread); listening {speed:.0f} times faster than real time",
        speed > 1,
        None if speed > 1 else "this machine is too slow: try --hop 1 --threads 2",
    )


def _median_seconds(model: EmotionModel, samples: NDArray[np.float32]) -> float:
    times = []
    for _ in range(RUNS):
        started = time.perf_counter()
        model.predict(samples, model.sampling_rate)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def check_extras() -> Iterator[Finding]:
    """List the installed extras, and the command to install the others."""
    extras = installed_extras()
    found = [extra for extra, installed in extras.items() if installed]
    missing = [extra for extra, installed in extras.items() if not installed]
    advice = f"pip install 'emo-listen[{','.join(missing)}]' (optional)" if missing else None
    yield Finding("extras", ", ".join(found) or "none", advice=advice)
