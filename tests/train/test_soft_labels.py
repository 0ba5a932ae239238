"""The CSV of soft labels: names that outlast a move of the corpus, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from emo_listen.errors import CorpusError
from train import soft_labels
from train.corpus.soft_label_table import clip_keys, read_soft_labels, write_soft_labels

LABELS = ["anger", "joy"]
HEAD = "name,anger,joy\n"


@pytest.mark.parametrize(
    ("names", "keys"),
    [
        (["../x/audio/1001_A.flac", "../x/audio/1002_A.flac"], ["1001_A", "1002_A"]),
        (["/c/anger/01.wav", "/c/joy/01.mp3"], ["anger/01", "joy/01"]),
        (["/c/joy/s1/v1.5.wav", "/c/joy/s2/v1.5"], ["s1/v1.5", "s2/v1.5"]),
        (["a.wav", "b/a.wav"], ["a", "b/a"]),
        (["owner/set/train[0]", "owner/set/train[1]"], ["train[0]", "train[1]"]),
    ],
)
def test_keys(names, keys):
    assert clip_keys(names) == keys


def test_two_clips_of_one_key():
    with pytest.raises(CorpusError, match="Several clips are named 01:"):
        clip_keys(["c/01.wav", "c/01.flac", "c/02.wav"])


def test_what_is_written_is_read_wherever_the_corpus_lies(tmp_path):
    wrote = np.array([[0.25, 0.75], [1.0, 0.0]])
    file = tmp_path / "deep" / "soft.csv"
    write_soft_labels(file, ["here/audio/1.wav", "here/audio/2.wav"], LABELS, wrote)
    names = ["/there/mp3/2.mp3", "/there/mp3/3.mp3", "/there/mp3/1.mp3"]
    read = read_soft_labels(file, names, LABELS)
    assert read.dtype == np.float32
    np.testing.assert_allclose(read, np.array([[1.0, 0.0], [np.nan, np.nan], [0.25, 0.75]]))


def test_rows_may_have_the_corpus_s_own_names_and_columns_any_order(tmp_path):
    file = tmp_path / "soft.csv"
    file.write_text("joy,name,anger\n0.333,c/1.wav,0.666\n")
    read = read_soft_labels(file, ["c/1.wav", "c/2.wav"], LABELS)
    np.testing.assert_allclose(read[0], [2 / 3, 1 / 3], atol=1e-3)
    assert read[0].sum() == pytest.approx(1)


def test_clips_of_other_corpora_have_their_labels_only(tmp_path):
    file = tmp_path / "soft.csv"
    file.write_text(HEAD + "1,0,1\n2,1,0\n")
    names, corpora = ["a/c/1.wav", "a/c/2.wav", "b/9.wav", "b/x/8.wav"], ["c", "c", "b", "b"]
    read = read_soft_labels(file, names, LABELS, corpora)
    np.testing.assert_allclose(read[:2], [[0.0, 1.0], [1.0, 0.0]])
    assert np.isnan(read[2:]).all()
    with pytest.raises(CorpusError, match="1 is a clip of two corpora"):
        read_soft_labels(file, ["a/c/1.wav", "b/1.wav"], LABELS, ["c", "b"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has the columns .none."),
        ("name,anger\n1,1\n", "they must be name, anger, joy"),
        ("name,anger,joy,fear\n1,1,0,0\n", "they must be name, anger, joy"),
        (HEAD + "1,0.5,0.6\n", "line 2: the probabilities 0.5, 0.6 must be 0 to 1 and add up"),
        (HEAD + "1,1.5,-0.5\n", "must be 0 to 1"),
        (HEAD + "1,nan,nan\n", "must be 0 to 1"),
        (HEAD + "1,much,little\n", "line 2: each class needs a number"),
        (HEAD + "1,1\n", "line 2: each class needs a number"),
        (HEAD + "9,1,0\n", "has none of the 2 training clips, such as 1: give soft labels"),
    ],
)
def test_wrong_files(text, message, tmp_path):
    file = tmp_path / "soft.csv"
    file.write_text(text)
    with pytest.raises(CorpusError, match=message):
        read_soft_labels(file, ["c/1.wav", "c/2.wav"], LABELS)


@pytest.fixture
def class_folders(sample_file, tmp_path) -> Path:
    """Two classes, which this corpus's models do not know, of three speakers each."""
    for label in ("calm", "loud"):
        for speaker in ("a", "b", "c", "d", "e", "f"):
            folder = tmp_path / "corpus" / label / speaker
            folder.mkdir(parents=True)
            shutil.copy(sample_file, folder / f"{label}.ogg")
    return tmp_path / "corpus"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--temperature", "0"], "--temperature 0.0 must be above 0"),
        (["--data", "no/such.csv"], "There is no folder or file"),
        ([], "cannot be loaded: give a folder with config.json"),
    ],
)
def test_wrong_options_are_one_line_and_code_2(class_folders, more, message, tmp_path, capsys):
    given = [str(tmp_path / "no-model"), "--data", str(class_folders)]
    given += ["--output", str(tmp_path / "soft.csv"), "--cache_dir", str(tmp_path / "cache")]
    assert soft_labels.main([*given, *more]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "soft.csv").exists()
