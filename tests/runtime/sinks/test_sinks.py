"""Sinks write events as lines, records, tables, a database and a picture."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from pathlib import Path

import audformat
import numpy as np
import pytest
import soundfile
from matplotlib.image import imread

from emo_listen import (
    EmotionModel,
    Event,
    GapEvent,
    ProvisionalEvent,
    SegmentEvent,
    StatusEvent,
    WarningEvent,
    listen,
)
from emo_listen.audio import load_audio
from emo_listen.cli import main
from emo_listen.colours import RGB
from emo_listen.errors import MissingExtraError, OutputError
from emo_listen.extras import import_extra
from emo_listen.sinks.audformat import write_audformat
from emo_listen.sinks.base import EVENT_TYPES, Sink, SinkGroup
from emo_listen.sinks.csv_rows import CsvSink
from emo_listen.sinks.jsonl import JsonLinesSink, RecordSink, event_row
from emo_listen.sinks.text import TextSink
from emo_listen.sinks.timeline import envelope, plot_timeline

GAP = GapEvent(time=1.5, seconds=0.25, reason="overflow")
WARNING = WarningEvent(time=30.0, seconds=20.0, reason="silent")
STATUS = StatusEvent(time=1.0, level=-30.0, speech=True, load=0.1, latency=0.03)


@pytest.fixture(scope="module")
def events_of_sample(bundled_model: EmotionModel, sample_file: Path) -> list[Event]:
    """All events of the sample."""
    return list(listen(sample_file, model=bundled_model, emit="all"))


@pytest.fixture(scope="module")
def segments(events_of_sample: list[Event]) -> list[SegmentEvent]:
    return [event for event in events_of_sample if isinstance(event, SegmentEvent)]


def test_json_lines_contain_every_field(events_of_sample: list[Event]) -> None:
    stream = io.StringIO()
    sink = JsonLinesSink(stream)
    for event in [*events_of_sample, GAP, WARNING]:
        sink.write(event)
    rows = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert rows == [event_row(event) for event in [*events_of_sample, GAP, WARNING]]
    assert all(next(iter(row)) == "type" for row in rows)


def test_text_omits_provisional_labels(events_of_sample: list[Event]) -> None:
    stream = io.StringIO()
    sink = TextSink(stream, ["anger", "uncertain"])
    final = [e for e in events_of_sample if not isinstance(e, ProvisionalEvent)]
    for event in [*events_of_sample, GAP, WARNING]:
        sink.write(event)
    lines = stream.getvalue().splitlines()
    assert len(lines) == len(final) + 2
    assert lines[-2] == "    1.5 s  lost 0.2 s of sound: this machine was too slow"
    assert lines[-1] == "   30.0 s  input silent for 20 s: is the microphone muted?"


def test_csv_has_a_row_for_each_segment(
    events_of_sample: list[Event], segments: list[SegmentEvent], bundled_model: EmotionModel
) -> None:
    stream = io.StringIO()
    sink = CsvSink(stream, bundled_model.labels)
    for event in [*events_of_sample, GAP]:
        if event.type in EVENT_TYPES["segments"]:
            sink.write(event)
    rows = list(csv.DictReader(io.StringIO(stream.getvalue())))
    assert len(rows) == len(segments) > 1
    for row, segment in zip(rows, segments, strict=True):
        assert row["label"] == segment.label
        assert (float(row["start"]), float(row["end"])) == (segment.start, segment.end)
        assert {label: float(row[label]) for label in segment.scores} == segment.scores
        assert float(row["baseline_seconds"]) == segment.baseline_seconds


def test_a_record_is_appended_to_and_never_overwritten(
    tmp_path: Path, segments: list[SegmentEvent]
) -> None:
    path = tmp_path / "labels.jsonl"
    for number in range(2):
        sink = RecordSink(path, source=f"source {number}", model="model")
        sink.write(segments[number])
        # Immediately, not only when the sink is closed.
        assert json.loads(path.read_text().splitlines()[-1])["start"] == segments[number].start
        sink.close()
    # A power failure may cut a line short: the next session starts on a new line.
    path.write_bytes(path.read_bytes() + b'{"type": "segm')
    RecordSink(path, source="source 2", model="model").close()
    lines = path.read_text().splitlines()
    assert lines[4] == '{"type": "segm'
    rows = [json.loads(lines[index]) for index in (0, 1, 2, 3, 5)]
    assert [row["type"] for row in rows] == ["session", "segment"] * 2 + ["session"]
    assert [row["source"] for row in rows[::2]] == ["source 0", "source 1", "source 2"]


@pytest.mark.parametrize(
    ("wanted", "emit"),
    [
        (["segments"], "segments"),
        (["windows"], "windows"),
        (["segments", "windows"], "all"),
        (["all"], "all"),
        ([], "segments"),
    ],
)
def test_each_sink_gets_its_event_types(
    events_of_sample: list[Event], wanted: list, emit: str
) -> None:
    streams = [io.StringIO() for _ in wanted]
    with SinkGroup() as sinks:
        for stream, choice in zip(streams, wanted, strict=True):
            sinks.add(JsonLinesSink(stream), EVENT_TYPES[choice])
        assert (sinks.emit, sinks.status) == (emit, False)
        for event in [*events_of_sample, GAP, STATUS]:
            sinks.write(event)
    for stream, choice in zip(streams, wanted, strict=True):
        types = {json.loads(line)["type"] for line in stream.getvalue().splitlines()}
        assert types == EVENT_TYPES[choice] - {"warning"}


class LoggingSink(Sink):
    """Appends its calls to `log`, and fails in the method `failing`."""

    def __init__(self, name: str, log: list[str], failing: str | None = None) -> None:
        self._name, self._log, self._failing = name, log, failing

    def _note(self, method: str) -> None:
        self._log.append(f"{method} {self._name}")
        if method == self._failing:
            raise OutputError(f"{method} failed")

    def write(self, event: Event) -> None:
        self._note("write")

    def finish(self) -> None:
        self._note("finish")

    def close(self) -> None:
        self._note("close")


@pytest.mark.parametrize(
    ("failing", "calls"),
    [
        (None, ["write a", "write b", "finish a", "finish b", "close b", "close a"]),
        ("write", ["write a", "close b", "close a"]),
        ("finish", ["write a", "write b", "finish a", "close b", "close a"]),
        ("close", ["write a", "write b", "finish a", "finish b", "close b", "close a"]),
    ],
)
def test_sinks_finish_only_after_a_stream_without_errors_and_always_close(
    failing: str | None, calls: list[str]
) -> None:
    log: list[str] = []
    with (
        pytest.raises(OutputError, match="failed") if failing else contextlib.nullcontext(),
        SinkGroup() as sinks,
    ):
        sinks.add(LoggingSink("a", log, failing), frozenset({"gap"}))
        sinks.add(LoggingSink("b", log), frozenset({"gap"}))
        sinks.write(GAP)
    assert log == calls


def test_a_damaged_file_gets_no_picture_and_no_database(tmp_path: Path, sample_file: Path) -> None:
    whole, damaged = tmp_path / "whole.flac", tmp_path / "damaged.flac"
    soundfile.write(whole, load_audio(sample_file, 16000), 16000)
    content = bytearray(whole.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 3000] = bytes(3000)
    damaged.write_bytes(content)
    picture, database = tmp_path / "out.png", tmp_path / "db"
    arguments = ["--format", "audformat", "--output", str(database), "--plot", str(picture)]
    assert main([str(damaged), *arguments]) == 2
    assert not picture.exists() and not database.exists()
    assert main([str(whole), *arguments, "--emit", "windows"]) == 0
    assert picture.exists() and database.exists()


def test_audformat_can_be_loaded(
    tmp_path: Path, segments: list[SegmentEvent], bundled_model: EmotionModel
) -> None:
    rows = [("talks/a.wav", event) for event in segments]
    for _ in range(2):  # An existing database is replaced.
        write_audformat(tmp_path / "db", rows, labels=bundled_model.labels, model="m")
    database = audformat.Database.load(str(tmp_path / "db"))
    table = database["emotion"].get()
    assert list(table.columns) == [
        "label", "baseline_seconds", "confidence", *bundled_model.labels,
    ]  # fmt: skip
    assert len(table) == len(segments)
    for (file, start, end), row in table.iterrows():
        segment = next(s for s in segments if s.start == pytest.approx(start.total_seconds()))
        assert file == "talks/a.wav"
        assert end.total_seconds() == pytest.approx(segment.end, abs=1e-9)
        assert row["label"] == segment.label
        assert row["confidence"] == pytest.approx(segment.confidence)
        assert {label: row[label] for label in segment.scores} == pytest.approx(segment.scores)


def test_the_command_writes_audformat(tmp_path: Path, sample_file: Path) -> None:
    folder = tmp_path / "db"
    arguments = ["--device", str(sample_file), "--format", "audformat", "--output", str(folder)]
    assert main(arguments) == 0
    table = audformat.Database.load(str(folder))["emotion"]
    assert set(table.files) == {str(sample_file)}
    (folder / "db.yaml").unlink()
    assert main(arguments) == 2  # The folder is no longer a database.


@pytest.mark.parametrize("rate", [8000, 44100])
@pytest.mark.parametrize("seconds", [0.001, 5, 30.3])
def test_the_envelope_contains_every_peak(tmp_path: Path, rate: int, seconds: float) -> None:
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, round(seconds * rate))
    samples[len(samples) // 3] = 0.9
    samples[-1] = -0.9
    path = tmp_path / "noise.wav"
    soundfile.write(path, samples, rate, subtype="FLOAT")
    lows, highs, duration = envelope(path)
    assert duration == len(samples) / rate
    step = next(n for n in (2**k for k in range(20)) if len(lows) * n >= len(samples))
    assert len(lows) == -(-len(samples) // step) <= 3200
    read = load_audio(path, rate)
    for column in (0, len(samples) // 3 // step, len(lows) - 1):
        stretch = read[column * step : (column + 1) * step]
        assert (lows[column], highs[column]) == (stretch.min(), stretch.max())


def test_a_timeline_has_the_colours_of_its_segments(
    tmp_path: Path, sample_file: Path, segments: list[SegmentEvent]
) -> None:
    picture = tmp_path / "out.png"
    arguments = ["--device", str(sample_file), "--format", "text", "--plot", str(picture)]
    assert main(arguments) == 0
    drawn = {tuple(c) for c in np.uint8(imread(picture)[..., :3] * 255 + 0.5).reshape(-1, 3)}
    present = {segment.label for segment in segments}
    assert {label for label in RGB if RGB[label] in drawn} >= present
    assert not {RGB[label] for label in ("fear", "sadness") if label not in present} & drawn


def test_an_unwritable_picture_is_reported(tmp_path: Path, sample_file: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        plot_timeline(sample_file, [], tmp_path / "absent" / "out.png")


def test_a_missing_extra_is_reported() -> None:
    with pytest.raises(MissingExtraError, match=r"pip install 'emo-listen\[plot\]'"):
        import_extra("plot", "no_such_module")
