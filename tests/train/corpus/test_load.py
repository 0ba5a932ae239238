"""Corpora of every kind, decoded once, with their faults named."""

from __future__ import annotations

import csv
from pathlib import Path

import datasets
import numpy as np
import pytest
import soundfile

from emo_listen.errors import CorpusError
from train.corpus.audio_cache import decode_corpus, decode_row
from train.corpus.clip_table import Columns, class_names
from train.corpus.load import load_corpus
from train.corpus.splits import drop_ambiguous, split_corpus

RATE = 16_000


def write_sound(path: Path, seed: int, rate: int = RATE, channels: int = 1) -> np.ndarray:
    """Write half a second of noise; return it, (n_samples, channels)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sound = np.random.default_rng(seed).normal(0, 0.1, (rate // 2, channels)).astype(np.float32)
    soundfile.write(path, sound, rate)
    return sound


def test_crema_d_folder_is_told_from_its_names(tmp_path):
    for i, name in enumerate(("1001_IEO_ANG_HI", "1002_ITH_SAD_X", "1002_DFA_HAP_XX")):
        write_sound(tmp_path / "AudioWAV" / f"{name}.wav", i)
    corpus = load_corpus(str(tmp_path))
    assert corpus["label"][:] == ["anger", "happiness", "sadness"]
    assert corpus["speaker"][:] == ["1001", "1002", "1002"]
    assert corpus["split"][:] == ["test", "train", "train"]  # as the clone's own table says
    (tmp_path / "splits.csv").write_text("actor,split\n1001,train\n1002,validation\n")
    assert load_corpus(str(tmp_path))["split"][:] == ["train", "validation", "validation"]
    (tmp_path / "splits.csv").write_text("actor,split\n1001,test\n")
    with pytest.raises(CorpusError, match="no split for actor 1002"):
        load_corpus(str(tmp_path))


def test_class_folders_with_speakers_and_splits(tmp_path):
    write_sound(tmp_path / "plain/anger/a.wav", 0)
    write_sound(tmp_path / "plain/joy/anna/b.flac", 1)
    corpus = load_corpus(str(tmp_path / "plain"))
    assert corpus["label"][:] == ["anger", "joy"]
    assert corpus["speaker"][:] == [None, "anna"]
    write_sound(tmp_path / "split/train/anger/a.wav", 0)
    write_sound(tmp_path / "split/val/anger/b.wav", 1)
    assert load_corpus(str(tmp_path / "split"))["split"][:] == ["train", "validation"]


def test_csv_paths_are_relative_to_it(tmp_path):
    write_sound(tmp_path / "sounds/a.wav", 0)
    table = tmp_path / "clips.csv"
    table.write_text(
        "file,label,speaker,split\nsounds/a.wav,anger,s1,dev\nsounds/b.wav,joy,,train\n"
    )
    corpus = load_corpus(str(table))
    assert corpus["speaker"][:] == ["s1", None]
    assert corpus["split"][:] == ["validation", "train"]
    clips, faults = decode_corpus(corpus, RATE, tmp_path / "cache")
    assert clips["name"][:] == [str(tmp_path / "sounds/a.wav")]
    assert faults == {str(tmp_path / "sounds/b.wav"): "missing"}


@pytest.mark.parametrize("saved", ["parquet", "disk"])
def test_hub_dataset_is_decoded_without_torchcodec(tmp_path, saved):
    sound = write_sound(tmp_path / "a.wav", 0)
    names = datasets.ClassLabel(names=["calm", "joy"])
    rows = datasets.Dataset.from_dict(
        {
            "audio": [{"bytes": (tmp_path / "a.wav").read_bytes(), "path": "a.wav"}] * 2,
            "emotion": [1, 0],
            "speaker_id": [7, 8],
        },
        features=datasets.Features(
            {
                "audio": {"bytes": datasets.Value("binary"), "path": datasets.Value("string")},
                "emotion": names,
                "speaker_id": datasets.Value("int64"),
            }
        ),
    ).cast_column("audio", datasets.Audio(decode=True))
    folder = tmp_path / "data"
    if saved == "disk":
        rows.save_to_disk(str(folder))
    else:
        folder.mkdir()
        for split in ("train", "test"):
            rows.to_parquet(str(folder / f"{split}-00000-of-00001.parquet"))
    corpus = load_corpus(str(folder))
    assert corpus["label"][:2] == ["joy", "calm"]
    assert corpus["speaker"][:2] == ["7", "8"]
    assert set(corpus["split"]) == ({None} if saved == "disk" else {"train", "test"})
    clips, faults = decode_corpus(corpus, RATE, tmp_path / "cache")
    assert not faults
    decoded = np.array(clips[0]["samples"]) / 32768
    np.testing.assert_allclose(decoded, sound[:, 0], atol=1e-4)


def test_hub_dataset_with_hidden_labels_is_refused(tmp_path):
    rows = datasets.Dataset.from_dict(
        {"sound": [{"bytes": b"", "path": "a"}], "label": [-1]},
        features=datasets.Features(
            {
                "sound": {"bytes": datasets.Value("binary"), "path": datasets.Value("string")},
                "label": datasets.ClassLabel(names=["calm", "joy"]),
            }
        ),
    )
    rows.save_to_disk(str(tmp_path / "no_audio"))
    with pytest.raises(CorpusError, match="columns sound, label: it needs one of type Audio"):
        load_corpus(str(tmp_path / "no_audio"))
    rows = rows.cast_column("sound", datasets.Audio(decode=True))
    rows.save_to_disk(str(tmp_path / "hidden"))
    with pytest.raises(CorpusError, match="clips without a label"):
        load_corpus(str(tmp_path / "hidden"))


def test_any_rate_and_channels_become_mono_at_the_models_rate(tmp_path):
    write_sound(tmp_path / "a/stereo.ogg", 0, rate=44_100, channels=2)
    write_sound(tmp_path / "b/low.wav", 1, rate=8_000)
    clips, faults = decode_corpus(load_corpus(str(tmp_path)), RATE, tmp_path / "cache")
    assert not faults
    assert clips["length"][:] == pytest.approx([RATE // 2] * 2, abs=2)


def test_unusable_clips_are_named_and_left_out(tmp_path):
    folder = tmp_path / "corpus" / "joy"
    write_sound(folder / "good.wav", 0)
    soundfile.write(folder / "silent.wav", np.zeros(RATE), RATE)
    soundfile.write(folder / "empty.wav", np.zeros(0), RATE)
    soundfile.write(folder / "short.wav", np.ones(RATE // 10) * 0.1, RATE)
    (folder / "broken.flac").write_bytes(b"no sound at all")
    clips, faults = decode_corpus(load_corpus(str(tmp_path / "corpus")), RATE, tmp_path / "cache")
    assert [Path(name).name for name in clips["name"]] == ["good.wav"]
    kinds = {Path(name).name: fault.split(" (")[0] for name, fault in faults.items()}
    assert kinds == {
        "silent.wav": "silent",
        "empty.wav": "empty",
        "short.wav": "shorter than 0.25 s",
        "broken.flac": "unreadable",
    }


def test_nothing_usable_is_an_error(tmp_path):
    (tmp_path / "joy").mkdir()
    (tmp_path / "joy" / "broken.wav").write_bytes(b"RIFF")
    with pytest.raises(CorpusError, match=r"None of the 1 clips.*broken\.wav"):
        decode_corpus(load_corpus(str(tmp_path)), RATE, tmp_path / "cache")


def test_cache_is_used_until_a_file_changes_and_never_keeps_old_labels(tmp_path):
    write_sound(tmp_path / "a.wav", 0)
    table = tmp_path / "clips.csv"
    cache = tmp_path / "cache"
    table.write_text("file,label\na.wav,joy\n")
    first, _ = decode_corpus(load_corpus(str(table)), RATE, cache)
    table.write_text("file,label\na.wav,anger\n")
    again, _ = decode_corpus(load_corpus(str(table)), RATE, cache)
    assert len(list(cache.iterdir())) == 1
    assert (first["label"][0], again["label"][0]) == ("joy", "anger")
    write_sound(tmp_path / "a.wav", 1, rate=22_050)
    changed, _ = decode_corpus(load_corpus(str(table)), RATE, cache)
    assert len(list(cache.iterdir())) == 2
    assert changed["digest"][0] != first["digest"][0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "where,label\na.wav,joy\n",
            "columns where, label, none of them named file",
        ),
        ("file,what\na.wav,joy\n", "columns file, what, none of them named label .*--label_column"),
        ("path,wav,label\na,b,joy\n", "choose the file with --file_column"),
        ("file,emotion,class\na.wav,b,c\n", "choose the label with --label_column"),
        ("file,label\na.wav,\n", "line 2: the file or the label is missing"),
        ("file,label\na,b.wav,joy\n", "line 2: there are more fields than columns in the header"),
        ("file,label\na.wav,0.5\nb.wav,1\n", "fractions as labels, such as 0.5.*regression is not"),
        ("file,label\n", "lists no clips"),
        ("file,label,speaker,split\na.wav,joy,s,holdout\n", "Unknown split 'holdout'"),
    ],
)
def test_wrong_csv(tmp_path, content, message):
    (tmp_path / "clips.csv").write_text(content)
    with pytest.raises(CorpusError, match=message):
        load_corpus(str(tmp_path / "clips.csv"))


@pytest.mark.parametrize(
    "content",
    [
        "File;Label\nsounds/a.wav;joy\n;\n",
        "path\temotion\nsounds/a.wav\tjoy\n",
        "\ufeffid,Filename,EMOTION\r\n1,sounds\\a.wav,joy\r\n",
        'note|audio_path|class\n"a; b, c"|sounds/a.wav|joy\n',
        "label,emotion,file\njoy,2,sounds/a.wav\n",
    ],
)
def test_tables_of_other_people(tmp_path, content):
    write_sound(tmp_path / "sounds/a.wav", 0)
    table = tmp_path / "clips.csv"
    table.write_text(content, newline="")
    corpus = load_corpus(str(table))
    assert corpus["label"][:] == ["joy"]
    assert corpus["name"][:] == [str(tmp_path / "sounds/a.wav")]


def test_columns_can_be_named(tmp_path):
    table = tmp_path / "clips.tsv"
    table.write_text("path\twav\tstate\tspeaker\nx\ta.wav\tcalm\tanna\n")
    corpus = load_corpus(str(table), columns=Columns(file="wav", label="state"))
    assert (corpus["label"][0], corpus["speaker"][0]) == ("calm", "anna")
    assert corpus["name"][:] == [str(tmp_path / "a.wav")]
    with pytest.raises(CorpusError, match="not feeling: correct --label_column"):
        load_corpus(str(table), columns=Columns(file="wav", label="feeling"))


def test_numbers_become_names_of_classes_with_a_word(tmp_path, capsys):
    table = tmp_path / "clips.csv"
    table.write_text("file,label\na.wav,1.0\nb.wav,02\nc.wav,10\n")
    assert load_corpus(str(table))["label"][:] == ["1", "02", "10"]
    assert "numbers as labels (02, 1, 10)" in capsys.readouterr().out
    assert class_names(["joy", "1"], "x") == ["joy", "1"]
    assert class_names([3, 1], "x") == ["3", "1"]
    with pytest.raises(CorpusError, match=r"x has fractions as labels, such as 0\.25"):
        class_names([1.0, 0.25], "x")


def test_too_few_clips_of_many_speakers_are_an_error_of_ours():
    rows = datasets.Dataset.from_dict(
        {
            "name": list("abcd"),
            "label": ["joy", "joy", "calm", "calm"],
            "speaker": list("1234"),
            "split": [None] * 4,
        }
    )
    with pytest.raises(CorpusError, match=r"No class has more than 2 clip\(s\)"):
        split_corpus(rows)


def test_wrong_places(tmp_path):
    with pytest.raises(CorpusError, match="There is no folder or file"):
        load_corpus(str(tmp_path / "absent"))
    with pytest.raises(CorpusError, match="no sub-folder with sound files"):
        load_corpus(str(tmp_path))
    (tmp_path / "talk.wav").write_bytes(b"")
    with pytest.raises(CorpusError, match="is not a CSV"):
        load_corpus(str(tmp_path / "talk.wav"))


@pytest.mark.corpus
def test_crema_d_itself(shared_dir, tmp_path):
    corpus = load_corpus(str(shared_dir / "crema-d"))
    assert len(corpus) == 7442
    wanted = ("1076_MTI_SAD_XX", "1006_TIE", "1013_WSI", "1017_IWW", "1002_IEO", "1088_IEO")
    some = [i for i, name in enumerate(corpus["name"]) if Path(name).stem.startswith(wanted)]
    clips, faults = decode_corpus(corpus.select(some), RATE, tmp_path)
    assert [(Path(name).stem, fault) for name, fault in faults.items()] == [
        ("1076_MTI_SAD_XX", "silent")
    ]
    with (shared_dir / "crema-d/splits.csv").open() as file:
        split_of = {row["actor"]: row["split"] for row in csv.DictReader(file)}
    assert all(
        split == split_of[speaker]
        for speaker, split in zip(clips["speaker"], clips["split"], strict=True)
    )
    validation = sorted(a for a, split in split_of.items() if split == "validation")[0]
    more = [i for i, speaker in enumerate(corpus["speaker"]) if speaker == validation][:6]
    clips, _ = decode_corpus(corpus.select(sorted(some + more)), RATE, tmp_path)
    splits, lines = drop_ambiguous(split_corpus(clips))
    left_out = {Path(line.split()[2]).stem for line in lines if line.startswith("Left out")}
    assert left_out == {
        "1006_TIE_HAP_XX",
        "1006_TIE_NEU_XX",
        "1013_WSI_DIS_XX",
        "1013_WSI_SAD_XX",
    }
    remaining = {Path(name).stem for name in splits["test"]["name"]}
    assert {"1017_IWW_ANG_XX", "1017_IWW_FEA_XX"} <= remaining


@pytest.mark.corpus
def test_odd_recordings_are_decoded_whole(shared_dir: Path) -> None:
    pytest.importorskip("av")
    for file in sorted((shared_dir / "odd-files").glob("*.opus")):
        for audio in (
            {"bytes": None, "path": str(file)},
            {"bytes": file.read_bytes(), "path": file.name},
        ):
            row = decode_row({"audio": audio}, RATE)
            assert row["fault"] is None
            assert row["length"] == pytest.approx(5 * RATE, abs=0.02 * RATE)


def test_what_is_damaged_is_left_out_as_a_whole(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 4 * RATE)
    path = tmp_path / "cut.flac"
    soundfile.write(path, noise, RATE)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    row = decode_row({"audio": {"bytes": None, "path": str(path)}}, RATE)
    assert row["length"] == 0
    assert row["fault"].startswith("unreadable") and "is damaged" in row["fault"]
