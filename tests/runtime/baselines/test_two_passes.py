"""`analyse --baseline auto`: a voice's ordinary speech first, then labels relative to it."""

from __future__ import annotations

import json
import multiprocessing
from pathlib import Path

import numpy as np
import pytest
import soundfile

from emo_listen import EmotionModel, listen
from emo_listen.audio import load_audio
from emo_listen.baselines.two_passes import ChannelVoices, FirstPasses, SecondPass
from emo_listen.cli import main
from emo_listen.commands.grouping import group_files, grouping
from emo_listen.commands.workers import analyse_files
from emo_listen.engine import ListenOptions
from tests.support.tiny_models import HEAD, write_head_model

RATE = 16000


@pytest.fixture
def folder(tmp_path: Path, sample_file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model folder; `talks` has two files of one speaker and one of another."""
    monkeypatch.chdir(tmp_path)
    samples = load_audio(sample_file, RATE)
    for name, part in (
        ("a/1.wav", samples[: 6 * RATE]),
        ("a/2.wav", samples[6 * RATE : 11 * RATE]),
        ("b/1.wav", 3 * samples[6 * RATE : 11 * RATE]),
    ):
        path = tmp_path / "talks" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, part, RATE)
    return write_head_model(tmp_path / "levels", head={**HEAD, "population": [-4.2, 0.0]})


def analyse(*options: str) -> int:
    return main(
        ["analyse", "talks", "--model", "levels", "--jobs", "1", "--output", "r.jsonl", *options]
    )


def seconds_by_file() -> dict[str, set[float]]:
    found: dict[str, set[float]] = {}
    for line in Path("r.jsonl").read_text().splitlines():
        row = json.loads(line)
        if row["type"] == "segment":
            found.setdefault(row["file"], set()).add(row["baseline_seconds"])
    return found


def test_the_second_pass_reuses_the_outputs_of_the_first(folder: Path) -> None:
    model = EmotionModel.load(folder)
    first_pass = FirstPasses(model)
    first = list(listen("talks/a/1.wav", model=model, emit="all", baseline=first_pass))
    voice = ChannelVoices(model, [first_pass]).of_channel(None)
    assert np.abs(voice.shift).max() > 0.1
    again = list(listen("talks/a/1.wav", model=model, emit="all", baseline=voice))
    second = SecondPass(model, first_pass)
    assert list(listen("talks/a/1.wav", model=second, emit="all", baseline=voice)) == again
    assert [e.type for e in first if e.type == "window"] == [
        e.type for e in again if e.type == "window"
    ]


def test_a_file_or_a_group_has_one_baseline(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert analyse() == 0
    alone = seconds_by_file()
    assert len(alone) == 3
    assert all(len(values) == 1 for values in alone.values())
    assert analyse("--group-by", "folder") == 2  # The existing results have other options.
    assert "another group_by" in capfd.readouterr().err
    Path("r.jsonl").unlink()
    assert analyse("--group-by", "folder") == 0
    together = seconds_by_file()
    assert together["talks/a/1.wav"] == together["talks/a/2.wav"]
    assert together["talks/b/1.wav"] == alone["talks/b/1.wav"]
    assert max(together["talks/a/1.wav"]) > max(alone["talks/a/1.wav"])
    # A new file in a group changes the baseline of this group only.
    Path("talks/a/3.wav").write_bytes(Path("talks/a/2.wav").read_bytes())
    capfd.readouterr()
    assert analyse("--group-by", "folder") == 0
    assert "Already done: 1 of 4 files." in capfd.readouterr().err
    assert len(seconds_by_file()["talks/a/1.wav"] - together["talks/a/1.wav"]) == 1


def test_a_baseline_file_or_off_applies_to_all_files(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert analyse("--baseline", "off") == 0
    assert set.union(*seconds_by_file().values()) == {0.0}
    Path("r.jsonl").unlink()
    assert analyse("--baseline", "absent.json") == 2
    assert not Path("r.jsonl").exists()
    assert analyse("--baseline", "off", "--group-by", "folder") == 2
    assert "--group-by needs --baseline auto" in capfd.readouterr().err
    with pytest.raises(SystemExit):
        analyse("--group-by", "(")


def test_groups_are_named_by_folder_or_pattern() -> None:
    files = ["x/s1_a.wav", "y/s2_a.wav", "x/s1_b.wav", "y/other.wav", "y/else.wav"]
    assert group_files(files, grouping("folder")) == [
        ["x/s1_a.wav", "x/s1_b.wav"],
        ["y/s2_a.wav", "y/other.wav", "y/else.wav"],
    ]
    by_name = [["x/s1_a.wav", "x/s1_b.wav"], ["y/s2_a.wav"], ["y/other.wav"], ["y/else.wav"]]
    assert group_files(files, grouping(r"s\d")) == by_name
    assert group_files(files, grouping(r"/s(\d)_")) == by_name


def test_a_crash_fails_only_one_file_of_a_group(folder: Path, tmp_path: Path) -> None:
    files = ["talks/a/1.wav", "talks/a/2.wav"]
    finished: dict[str, str | None] = {}
    for report in analyse_files(
        [files], model=folder, options=ListenOptions(), jobs=1, folder=tmp_path
    ):
        if not finished and not report.done:
            (worker,) = multiprocessing.active_children()
            worker.kill()
        if report.done:
            finished[report.file] = report.error
    assert sorted(finished) == files
    assert sorted(map(str, finished.values()))[0] == "None"
    assert "crashed" in sorted(map(str, finished.values()))[1]
