"""LibriSpeech and EMO-DB, their splits, and several corpora as one."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from emo_listen.errors import CorpusError
from train.corpus import crema_d, emo_db, librispeech
from train.corpus.clip_table import Columns
from train.corpus.joined import corpus_names, load_corpora
from train.corpus.load import load_corpus
from train.corpus.prepare import prepare_corpus
from train.corpus.splits import split_corpus

RATE = 16_000


def write_sound(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.full(RATE // 2, 0.1), RATE)


@pytest.fixture
def emo_db_folder(tmp_path):
    folder = tmp_path / "emo-db"
    for name in ("03a01Wa", "03a02Fc", "08b10Nb", "16a05Td", "16a05Ab", "16a05Eb", "16a05La"):
        write_sound(folder / "wav" / f"{name}.wav")
    return folder


@pytest.fixture
def librispeech_folder(tmp_path):
    folder = tmp_path / "librispeech"
    readers = read_table(librispeech.SPLITS_FILE)
    chosen = [next(r for r, split in readers.items() if split == "train")]
    chosen.append(next(r for r, split in readers.items() if split == "validation"))
    for reader, subset in zip([*chosen, "7", "8"], SUBSETS, strict=True):
        chapter = folder / "LibriSpeech" / subset / reader / "12"
        for i in range(2):
            write_sound(chapter / f"{reader}-12-000{i}.flac")
    return folder


SUBSETS = ["train-clean-100", "train-clean-5", "dev-clean", "test-other"]


def read_table(path: Path) -> dict[str, str]:
    with path.open(newline="") as file:
        return {next(iter(row.values())): list(row.values())[1] for row in csv.DictReader(file)}


def test_emo_db_is_for_validation_until_the_final_recipe(emo_db_folder):
    corpus = load_corpus(str(emo_db_folder))
    labels = dict(zip((Path(n).stem for n in corpus["name"]), corpus["label"], strict=True))
    assert labels == {
        "03a01Wa": "anger",
        "03a02Fc": "happiness",
        "08b10Nb": "neutral",
        "16a05Td": "sadness",
        "16a05Ab": "fear",
        "16a05Eb": "disgust",
    }
    assert set(corpus["speaker"]) == {"03", "08", "16"}
    assert set(corpus["split"]) == {"validation"}
    assert set(load_corpus(str(emo_db_folder / "wav"), final=True)["split"]) == {"train"}


def test_librispeech_is_neutral_and_split_by_reader(librispeech_folder):
    for place in (librispeech_folder, librispeech_folder / "LibriSpeech"):
        corpus = load_corpus(str(place))
        subsets = [Path(name).parents[2].name for name in corpus["name"]]
        split_of = dict(zip(subsets, corpus["split"], strict=True))
        assert split_of == {
            "train-clean-100": "train",
            "train-clean-5": "validation",
            "dev-clean": "validation",
            "test-other": "test",
        }
        assert set(corpus["label"]) == {"neutral"}
    alone = load_corpus(str(librispeech_folder / "LibriSpeech" / "test-other"))
    assert (set(alone["speaker"]), set(alone["split"])) == ({"8"}, {"test"})


def test_the_tables_of_splits_are_whole():
    actors = Counter(read_table(crema_d.SPLITS_FILE).values())
    assert actors == {"train": 63, "validation": 9, "test": 19}
    assert Counter(read_table(librispeech.SPLITS_FILE).values()) == {
        "train": 177,
        "validation": 42,
        "test": 42,
    }
    assert len(emo_db.read_splits("choosing")) == 10


@pytest.mark.corpus
def test_the_corpora_themselves(shared_dir):
    data = [str(shared_dir / name) for name in ("crema-d", "librispeech", "emo-db")]
    joined = load_corpora(data)
    assert Counter(joined["corpus"]) == {"crema-d": 7442, "librispeech": 351, "emo-db": 339}
    splits = split_corpus(joined)
    voices = {name: set(clips["speaker"]) for name, clips in splits.items()}
    assert {name: len(found) for name, found in voices.items()} == {
        "train": 63 + 177,
        "validation": 9 + 42 + 10,
        "test": 19 + 42,
    }
    with (shared_dir / "librispeech" / "clips.csv").open(newline="") as file:
        subset_of = {row["speaker"]: row["subset"] for row in csv.DictReader(file)}
    table = read_table(librispeech.SPLITS_FILE)
    assert table == {
        reader: librispeech.rule(reader, subset) for reader, subset in subset_of.items()
    }
    assert {table[reader] for reader, sub in subset_of.items() if sub == "test-other"} == {"test"}
    assert read_table(shared_dir / "crema-d" / "splits.csv") == read_table(crema_d.SPLITS_FILE)


def test_joined_corpora_keep_speakers_apart_and_lack_classes(
    emo_db_folder, librispeech_folder, tmp_path
):
    own = tmp_path / "own"
    for speaker in ("03", "08", "16", "x"):
        for label in ("anger", "disgust", "fear", "happiness", "joy", "sadness"):
            write_sound(own / label / speaker / "clip.wav")
    joined = load_corpora([str(own), str(emo_db_folder), str(librispeech_folder)])
    assert {"own/03", "emo-db/03", "librispeech/8"} <= set(joined["speaker"])
    splits = split_corpus(joined)
    assert set(splits["train"]["corpus"]) == {"own", "librispeech"}
    assert set(splits["validation"]["corpus"]) == {"own", "emo-db", "librispeech"}
    assert set(splits["test"]["corpus"]) == {"own", "librispeech"}
    assert "joy" in splits["train"]["label"] and "neutral" in splits["train"]["label"]
    alone = load_corpora([str(own)])
    assert set(alone["split"]) == {None}
    assert set(alone["corpus"]) == {"own"}


def test_a_corpus_given_twice_is_refused_and_equal_names_are_numbered(emo_db_folder, tmp_path):
    with pytest.raises(CorpusError, match="names a corpus twice"):
        load_corpora([str(emo_db_folder), f"{emo_db_folder}/../emo-db"])
    for place in ("a/clips", "b/clips", "c/clips-2"):
        (tmp_path / place).mkdir(parents=True)
    places = [str(tmp_path / place) for place in ("a/clips", "b/clips", "c/clips-2")]
    assert corpus_names(places) == ["clips", "clips-2", "clips-2-2"]


def test_named_columns_serve_every_joined_table(tmp_path):
    tables = []
    for name in ("one", "two"):
        for speaker in "abc":
            for label in ("calm", "loud"):
                write_sound(tmp_path / name / f"{label}_{speaker}.wav")
        rows = [f"{label}_{s}.wav,{label},{s}" for s in "abc" for label in ("calm", "loud")]
        tables.append(tmp_path / name / f"{name}.csv")
        tables[-1].write_text("\n".join(["what,said,speaker", *rows]) + "\n")
    joined = load_corpora([str(table) for table in tables], columns=Columns("what", "said"))
    assert Counter(joined["label"]) == {"calm": 6, "loud": 6}


def test_a_joined_corpus_is_split_as_it_is_alone(emo_db_folder, tmp_path):
    own = tmp_path / "own"
    for speaker in "abcdefg":
        for label in ("anger", "disgust", "fear", "happiness", "neutral", "sadness"):
            for clip in range(2):
                write_sound(own / label / speaker / f"{clip}.wav")
    (own / "anger" / "c" / "0.wav").write_bytes(b"broken")
    listed = load_corpora([str(own), str(emo_db_folder)])
    joined = prepare_corpus(listed, RATE, tmp_path / "cache").splits
    alone = prepare_corpus(load_corpus(str(own)), RATE, tmp_path / "cache").splits
    for name in ("train", "validation", "test"):
        of_own = [n for n in joined[name]["name"] if Path(n).is_relative_to(own)]
        assert of_own == list(alone[name]["name"])
    only = prepare_corpus(listed, RATE, tmp_path / "cache", only="test").splits
    assert list(only["test"]["name"]) == list(joined["test"]["name"])
