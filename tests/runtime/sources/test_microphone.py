"""PortAudio captures a virtual microphone, which is known to the sample, and loses it.

What a test asserts of times has a lower and an upper bound that a slow machine moves along.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from emo_listen.audio import load_audio, resample
from emo_listen.sources.devices import TABLE_WIDTH
from emo_listen.sources.microphone import MICROPHONE_LATENCY
from emo_listen.sources.overflow import TOLERANCE
from tests.support.virtual_microphone import DEADLINE, RATE, Capture, VirtualMicrophone

pytestmark = pytest.mark.audio_device

COMMAND = [sys.executable, "-m", "emo_listen.cli"]
WINDOWS = ["--emit", "windows", "--no-vad"]
RECORDER = Path(__file__).parents[2] / "support" / "record_microphone.py"


def events(output: str) -> list[dict]:
    return [json.loads(line) for line in output.splitlines()]


def noise(seconds: float) -> np.ndarray:
    """Sound of which no two stretches are alike, int16 (n_samples,)."""
    generator = np.random.default_rng(0)
    return generator.integers(-9999, 9999, round(seconds * RATE), dtype=np.int16)


@pytest.fixture(scope="module")
def microphone() -> Iterator[VirtualMicrophone]:
    with VirtualMicrophone() as virtual:
        yield virtual


@contextmanager
def started(*command: str | Path, capture: Capture) -> Iterator[subprocess.Popen[str]]:
    """A process that captures; killed where the test fails before it ends."""
    with subprocess.Popen(
        [str(part) for part in command],
        env=capture.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def rest_of(process: subprocess.Popen[str]) -> tuple[str, str]:
    """What a process prints until it ends, on standard output and standard error."""
    assert process.stdout and process.stderr
    output, errors = process.stdout.read(), process.stderr.read()
    process.wait(timeout=DEADLINE)
    return output, errors


@dataclass(frozen=True)
class Recorder:
    """`record_microphone.py` at work."""

    process: subprocess.Popen[str]
    capture: Capture
    output: Path

    def wait_for(self, text: str) -> None:
        """Read what it prints up to a line with `text`."""
        assert self.process.stdout and self.process.stderr
        for line in self.process.stdout:
            if text in line:
                return
        pytest.fail(f"no {text!r} came: {self.process.stderr.read()}")

    def wait_for_sound(self, seconds: float = 0.0, heard: int = 0) -> None:
        """Wait until so much more sound has come, and so many samples that are not zero at all."""
        assert self.process.stdout and self.process.stderr
        start = None
        for line in self.process.stdout:
            if line.startswith("sound"):
                length, not_zero = map(int, line.split()[1:])
                start = length if start is None else start
                if length >= start + seconds * RATE and not_zero >= heard:
                    return
        pytest.fail(f"no such sound came: {self.process.stderr.read()}")

    def finish(self) -> tuple[np.ndarray, list[tuple[int, float, str]], str]:
        """Stop it; return the samples that came, the gaps among them, and what it logged."""
        assert self.process.stdin
        self.process.stdin.close()
        self.process.terminate()
        _, errors = rest_of(self.process)
        assert self.process.returncode == 0, errors
        with np.load(self.output) as archive:
            gaps = list(
                zip(
                    archive["places"].tolist(),
                    archive["seconds"].tolist(),
                    archive["reasons"].tolist(),
                    strict=True,
                )
            )
            return archive["samples"], gaps, errors


@contextmanager
def recorder(microphone: VirtualMicrophone, tmp_path: Path, *slowness: str) -> Iterator[Recorder]:
    capture, output = microphone.capture(), tmp_path / "recorded.npz"
    with started(sys.executable, RECORDER, output, *slowness, capture=capture) as process:
        recorder = Recorder(process, capture, output)
        recorder.wait_for_sound()
        yield recorder


def test_labels_streamed_from_the_microphone_are_those_of_the_file(
    microphone: VirtualMicrophone, sample_file: Path, tmp_path: Path
) -> None:
    played = np.round(load_audio(sample_file, RATE)[: 4 * RATE] * 32767).astype(np.int16)
    capture = microphone.capture()

    def delivered(output: str) -> np.ndarray:
        return capture.delivered()[: round(events(output)[-1]["end"] * RATE)]

    with started(*COMMAND, *WINDOWS, capture=capture) as process:
        assert process.stdout and process.stderr
        output = process.stdout.readline()
        assert output, process.stderr.read()
        microphone.play(played)
        sound = np.flatnonzero(played)
        heard = np.zeros(0, np.int64)
        while len(heard) == 0 or heard[-1] - heard[0] < sound[-1] - sound[0]:
            output += process.stdout.readline()
            assert output.count("\n") < 100, "the file that was played is not heard"
            heard = np.flatnonzero(delivered(output))
        process.send_signal(signal.SIGINT)
        rest, errors = rest_of(process)
        output += rest
    assert (process.returncode, errors) == (0, "")
    streamed = events(output)

    # What was captured, up to the last sample reported, is silence, the file, silence.
    captured = delivered(output)
    assert len(captured) == round(streamed[-1]["end"] * RATE)
    start = heard[0] - sound[0]
    expected = np.zeros(len(captured), np.float32)
    expected[start : start + len(played)] = played / np.float32(32768)
    np.testing.assert_array_equal(captured, expected)

    # So the same file, after as much silence, gives the same lines to the last digit.
    padded = tmp_path / "padded.wav"
    soundfile.write(padded, expected, RATE, subtype="FLOAT")
    result = microphone.run(*COMMAND, *WINDOWS, "--device", padded)
    assert streamed == events(result.stdout)
    assert len(streamed) > 8


def test_devices_are_listed_and_found_by_name(microphone: VirtualMicrophone) -> None:
    listed = microphone.run(*COMMAND, "--list-devices")
    assert listed.returncode == 0
    heading, *rows = listed.stdout.splitlines()
    assert heading.split() == ["index", "name", "host", "API", "channels", "Hz", "opens"]
    (default,) = [row for row in rows if row.startswith("*")]
    assert default.split()[2:4] + default.split()[-2:] == ["default", "ALSA", str(RATE), "yes"]
    assert any(row.split()[1:3] == ["pulse", "ALSA"] for row in rows)
    assert max(map(len, [heading, *rows])) <= TABLE_WIDTH
    ambiguous = microphone.run(*COMMAND, "--device", "L")
    assert ambiguous.returncode == 2
    assert "DeviceError: 'L' is part of several names, give an index: " in ambiguous.stderr
    for absent in ("USB", "9999"):
        result = microphone.run(*COMMAND, "--device", absent)
        assert result.returncode == 2
        assert "DeviceError: " in result.stderr
        assert "(pulse)" in result.stderr
        assert result.stderr.endswith(". For example: emo-listen --device 0\n")
        assert "Traceback" not in result.stderr


def test_a_device_can_be_chosen_by_index_and_by_name(microphone: VirtualMicrophone) -> None:
    listed = microphone.run(*COMMAND, "--list-devices").stdout
    (line,) = [line for line in listed.splitlines() if "pulse" in line]
    command = [*COMMAND, *WINDOWS, "--device"]
    with (
        started(*command, line.split()[0], capture=microphone.capture()) as by_index,
        started(*command, "PULS", capture=microphone.capture()) as by_name,
    ):
        for process in (by_index, by_name):
            assert process.stdout
            assert json.loads(process.stdout.readline())["end"] == 1
            process.terminate()
            _, errors = rest_of(process)
            assert (process.returncode, errors) == (0, "")


def test_what_a_slow_reader_loses_is_told_to_the_sample(
    microphone: VirtualMicrophone, tmp_path: Path
) -> None:
    with recorder(microphone, tmp_path, "0.3", "0.5") as recording:
        microphone.play(noise(3))
        recording.wait_for("overflow")
        samples, gaps, _ = recording.finish()
    delivered = recording.capture.delivered()
    heard = place = 0
    for until, seconds, reason in gaps:
        np.testing.assert_array_equal(
            samples[heard:until], delivered[place : place + until - heard]
        )
        assert reason == "overflow"
        place += until - heard + round(seconds * RATE)
        heard = until
    np.testing.assert_array_equal(samples[heard:], delivered[place : place + len(samples) - heard])
    assert np.any(samples)
    assert place > heard


def test_sound_that_the_device_never_delivered_is_measured(
    microphone: VirtualMicrophone, tmp_path: Path
) -> None:
    with recorder(microphone, tmp_path) as recording:
        recording.wait_for_sound(0.5)
        for source in ("suspend-source", "vmic"), ("suspend-sink", "virt"):
            assert microphone.run("pactl", *source, "1").returncode == 0
        suspended = time.monotonic()
        time.sleep(1)
        at_least = time.monotonic() - suspended
        for source in ("suspend-sink", "virt"), ("suspend-source", "vmic"):
            assert microphone.run("pactl", *source, "0").returncode == 0
        at_most = time.monotonic() - suspended
        recording.wait_for("device")
        samples, gaps, _ = recording.finish()
    ((place, seconds, reason),) = gaps
    assert reason == "device"
    assert at_least - TOLERANCE < seconds < at_most + 2 * TOLERANCE
    # What had come before it stands before it, and nothing that was delivered is lost.
    assert 0.5 * RATE <= place < len(samples)
    np.testing.assert_array_equal(samples, recording.capture.delivered()[: len(samples)])


def test_a_stream_moved_to_another_microphone_is_no_overflow(
    microphone: VirtualMicrophone, tmp_path: Path
) -> None:
    for module in (
        ["module-null-sink", "sink_name=other", f"rate={RATE}", "channels=1"],
        ["module-remap-source", "master=other.monitor", "source_name=other_mic"],
    ):
        assert microphone.run("pactl", "load-module", *module).returncode == 0
    with recorder(microphone, tmp_path) as recording:
        recording.wait_for_sound(0.5)
        outputs = microphone.run("pactl", "list", "short", "source-outputs").stdout
        (number,) = (line.split()[0] for line in outputs.splitlines() if "native.c" in line)
        moved = microphone.run("pactl", "move-source-output", number, "other_mic")
        assert moved.returncode == 0, moved.stderr
        recording.wait_for_sound(2)
        samples, gaps, _ = recording.finish()
    assert {reason for _, _, reason in gaps} <= {"device"}
    np.testing.assert_array_equal(samples, recording.capture.delivered()[: len(samples)])


def test_sound_that_was_only_held_up_is_no_loss(
    microphone: VirtualMicrophone, tmp_path: Path
) -> None:
    played = noise(0.5)
    with recorder(microphone, tmp_path) as recording:
        recording.wait_for_sound(0.5)
        recording.process.send_signal(signal.SIGSTOP)
        microphone.play(played)
        recording.process.send_signal(signal.SIGCONT)
        recording.wait_for_sound(heard=int(np.count_nonzero(played)))
        recording.wait_for_sound(1)
        samples, gaps, _ = recording.finish()
    assert gaps == []
    np.testing.assert_array_equal(samples, recording.capture.delivered()[: len(samples)])
    np.testing.assert_array_equal(np.trim_zeros(samples), played / np.float32(32768))


def test_a_server_restarted_five_times_costs_only_its_gaps(tmp_path: Path) -> None:
    played = noise(0.3)
    heard_after_restart = []
    with (
        VirtualMicrophone() as microphone,
        recorder(microphone, tmp_path) as recording,
        started(*COMMAND, *WINDOWS, capture=microphone.capture()) as command,
    ):
        assert command.stdout
        output = command.stdout.readline()
        for times in range(1, 6):
            microphone.play(played)
            recording.wait_for_sound(heard=times * int(np.count_nonzero(played)))
            microphone.kill()
            killed = time.monotonic()
            microphone.start()
            recording.wait_for("device")
            heard_after_restart.append(time.monotonic() - killed)
            while '"gap"' not in (line := command.stdout.readline()):
                assert line
                output += line
            output += line
        recording.wait_for_sound(0.5)
        samples, gaps, log = recording.finish()
        openings = recording.capture.openings()
        command.send_signal(signal.SIGINT)
        rest, errors = rest_of(command)
        output += rest

    # Between the gaps is what the device delivered, and in it what was played, five times.
    assert [reason for _, _, reason in gaps] == ["device"] * 5
    bounds = [0, *(place for place, _, _ in gaps), len(samples)]
    parts = [samples[start:end] for start, end in pairwise(bounds)]
    for part, opening in zip(parts, openings, strict=True):
        np.testing.assert_array_equal(part, opening[: len(part)])
        # The block that was not complete when the device vanished is all that did not come.
        assert len(opening) - len(part) < RATE * MICROPHONE_LATENCY / 2
    for part in parts[:-1]:
        np.testing.assert_array_equal(np.trim_zeros(part), played / np.float32(32768))
    for (_, seconds, _), at_most in zip(gaps, heard_after_restart, strict=True):
        assert 0.4 < seconds < at_most + 2 * TOLERANCE
    assert log.count("is lost") == log.count("is back") == 5
    assert all(line.startswith("the microphone default is ") for line in log.splitlines())

    streamed = events(output)
    assert [event["reason"] for event in streamed if event["type"] == "gap"] == ["device"] * 5
    assert streamed[-1]["type"] == "window"
    assert command.returncode == 0
    assert errors.count("is lost") == errors.count("is back") == 5
    # Nothing comes through of what PortAudio and ALSA print.
    assert all(line.startswith("emo-listen: the microphone ") for line in errors.splitlines())


def test_two_microphones_of_one_process_come_back(microphone: VirtualMicrophone) -> None:
    code = """
import os
import threading
from emo_listen.sources.base import Gap
from emo_listen.sources.microphone import Microphone

def say(line):
    os.write(1, f"{line}\\n".encode())  # Whole, while the other thread writes, too.

def listen(device):
    microphone, blocks = Microphone(device), 0
    for item in microphone:
        blocks += 1
        if blocks == 1:
            say("heard")
        if isinstance(item, Gap):
            say(item.reason)
            microphone.stop()

threads = [threading.Thread(target=listen, args=(name,)) for name in ("default", "pulse")]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
say("both")
"""
    with started(sys.executable, "-c", code, capture=microphone.capture()) as process:
        assert process.stdout and process.stderr
        assert [process.stdout.readline() for _ in range(2)] == ["heard\n"] * 2
        microphone.kill()
        microphone.start()
        output, errors = rest_of(process)
    assert (process.returncode, output.split()) == (0, ["device", "device", "both"]), errors


def test_a_device_with_another_rate_than_the_stream_is_resampled(
    microphone: VirtualMicrophone, tmp_path: Path
) -> None:
    code = """
import sys
import numpy as np
from emo_listen.sources.microphone import Microphone

microphone, blocks = Microphone(), []
microphone.sampling_rate = 16000  # As after a loss, where the device came back with another one.
print("ready", flush=True)
for block in microphone:
    blocks.append(block[:, 0])
    if len(block) and not np.any(block) and any(map(np.any, blocks)):
        microphone.stop()
np.save(sys.argv[1], np.concatenate(blocks))
"""
    played = (9999 * np.sin(2 * np.pi * 440 * np.arange(RATE // 2) / RATE)).astype(np.int16)
    capture, output = microphone.capture(), tmp_path / "recorded.npy"
    with started(sys.executable, "-c", code, output, capture=capture) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        microphone.play(played)
        _, errors = rest_of(process)
    assert process.returncode == 0, errors
    samples = np.load(output)
    expected = resample(capture.delivered(), RATE, 16000)
    assert np.any(samples)
    assert len(samples) > 16000 // 2
    np.testing.assert_allclose(samples[:-100], expected[: len(samples) - 100], atol=1e-6)


def test_ctrl_c_while_the_device_is_gone_ends_cleanly(microphone: VirtualMicrophone) -> None:
    with started(*COMMAND, *WINDOWS, capture=microphone.capture()) as process:
        assert process.stdout and process.stderr
        first = process.stdout.readline()
        microphone.kill()
        try:
            log = ""
            while "is lost" not in log:
                log += process.stderr.readline()
            process.send_signal(signal.SIGINT)
            output, errors = rest_of(process)
        finally:
            microphone.start()
    assert process.returncode == 0
    assert "Traceback" not in errors
    # Speech before the loss is still reported.
    assert events(first + output)[-1]["end"] >= 1


def test_a_server_that_is_gone_is_a_named_error(microphone: VirtualMicrophone) -> None:
    environment = {**microphone.capture().environment, "PULSE_SERVER": "unix:/nowhere"}
    for arguments in ["--device", "mic"], ["--list-devices"]:
        result = subprocess.run(
            [*COMMAND, *arguments],
            env=environment,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
        )
        assert result.returncode == 2
        assert "DeviceError: no input device" in result.stderr
        assert "PulseAudio: is it running, and libasound2-plugins installed?" in result.stderr
        assert "Traceback" not in result.stderr


def test_the_demo_listens_where_a_microphone_answers(microphone: VirtualMicrophone) -> None:
    with started(
        sys.executable, "-u", "-m", "emo_listen.demo", capture=microphone.capture()
    ) as process:
        assert process.stderr
        line = process.stderr.readline()
        process.send_signal(signal.SIGINT)
        _, errors = rest_of(process)
    assert line.startswith("Listening to default with ")
    assert (process.returncode, errors) == (0, "")


def test_channels_in_opposite_phase_do_not_cancel(tmp_path: Path) -> None:
    played = noise(2)
    with VirtualMicrophone(sink_channels=2) as stereo, recorder(stereo, tmp_path) as recording:
        stereo.play(np.column_stack([played, -played]))
        recording.wait_for_sound(0.5)
        samples, gaps, _ = recording.finish()
    assert gaps == []
    # Whole after the frame in which the mixing changes from the mean to one channel.
    expected = played[RATE // 2 : RATE] / np.float32(32768)
    begin = np.flatnonzero(samples)[0] + RATE // 2
    lags = [lag for lag in range(-50, 51) if abs(samples[begin + lag]) == abs(expected[0])]
    assert any(
        np.array_equal(np.abs(samples[begin + lag :][: len(expected)]), np.abs(expected))
        for lag in lags
    )


def test_separate_channels_of_a_microphone(sample_file: Path) -> None:
    voice = (load_audio(sample_file, RATE)[: 6 * RATE] * 32767).astype(np.int16)
    with (
        VirtualMicrophone(sink_channels=2) as stereo,
        started(
            *(sys.executable, "-u", "-m", "emo_listen.cli", "--channels", "separate"),
            capture=stereo.capture(),
        ) as process,
    ):
        assert process.stdout
        stereo.play(np.column_stack([np.zeros_like(voice), voice]))
        first = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        rest, _ = rest_of(process)
    assert first["channel"] == 2
    assert {json.loads(line)["channel"] for line in rest.splitlines()} <= {2}
