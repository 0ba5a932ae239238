"""No speaker in two splits; clear errors where splits cannot be made."""

from __future__ import annotations

from collections.abc import Sequence

import datasets
import pytest

from emo_listen.errors import CorpusError
from train.corpus.splits import drop_ambiguous, print_splits, split_corpus


def corpus(rows: Sequence[tuple[str, str | None, str | None]]) -> datasets.Dataset:
    """Clips of (label, speaker, split), without sound."""
    return datasets.Dataset.from_list(
        [
            {
                "name": f"clip{i}",
                "label": label,
                "speaker": speaker,
                "split": split,
                "digest": f"{i}",
            }
            for i, (label, speaker, split) in enumerate(rows)
        ],
        features=datasets.Features(
            {
                name: datasets.Value("string")
                for name in ("name", "label", "speaker", "split", "digest")
            }
        ),
    )


def grid(n_speakers: int, split: str | None = None) -> list[tuple[str, str | None, str | None]]:
    return [
        (label, f"s{speaker}", split)
        for speaker in range(n_speakers)
        for label in ("anger", "joy")
        for _ in range(3)
    ]


def test_grouped_split_keeps_speakers_apart_and_is_the_same_each_time():
    splits = split_corpus(corpus(grid(12)))
    speakers = {name: set(clips["speaker"]) for name, clips in splits.items()}
    assert set(speakers) == {"train", "validation", "test"}
    assert sum(map(len, speakers.values())) == 12
    assert len(set.union(*speakers.values())) == 12
    assert {name: len(found) for name, found in speakers.items()} == {
        "train": 8,
        "validation": 2,
        "test": 2,
    }
    again = split_corpus(corpus(grid(12)))
    assert all(again[name]["name"][:] == splits[name]["name"][:] for name in splits)


def test_three_speakers_are_enough_and_two_are_not():
    assert {len(set(c["speaker"])) for c in split_corpus(corpus(grid(3))).values()} == {1}
    with pytest.raises(CorpusError, match="Too few speakers"):
        split_corpus(corpus(grid(2)))


def test_validation_speakers_are_taken_from_train_where_none_are_named():
    rows = [*grid(6, "train"), ("anger", "t", "test"), ("joy", "t", "test")]
    splits = split_corpus(corpus(rows))
    assert set(splits["test"]["speaker"]) == {"t"}
    assert not set(splits["validation"]["speaker"]) & set(splits["train"]["speaker"])


def test_a_speaker_in_two_splits_is_refused():
    rows = [*grid(3, "train"), ("joy", "s1", "test"), ("joy", "v", "validation")]
    with pytest.raises(CorpusError, match=r"1 speaker\(s\) are in two splits.*s1"):
        split_corpus(corpus(rows))


def test_unknown_speakers_are_split_by_clip_with_a_warning(capsys):
    rows = [(label, None, None) for label in ("anger", "joy") for _ in range(12)]
    splits = split_corpus(corpus(rows))
    assert "some clips have no speaker" in capsys.readouterr().out
    assert {name: len(clips) for name, clips in splits.items()} == {
        "train": 16,
        "validation": 4,
        "test": 4,
    }
    assert set(splits["test"]["label"]) == {"anger", "joy"}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("joy", "a", None), ("joy", "b", None)], "At least two classes"),
        ([("joy", "a", "train"), ("anger", "b", None)], "Some clips name a split"),
        ([*grid(2, "validation")], "no train clips"),
        ([*grid(2, "train"), ("rage", "v", "validation")], "'rage' has 0 training clip"),
        ([("joy", None, None), ("anger", None, None)], "fewer than 3 clips"),
    ],
)
def test_what_cannot_be_trained_on_is_refused(rows, message):
    with pytest.raises(CorpusError, match=message):
        split_corpus(corpus(rows))


def test_the_same_sound_under_two_labels_or_in_two_splits_is_not_trained_on():
    rows = [
        *grid(3, "train"),
        *[(label, "v", "validation") for label in ("anger", "joy")],
        *[(label, "t", "test") for label in ("anger", "joy")],
    ]
    clips = corpus(rows)
    digests = clips["digest"][:]
    digests[0] = digests[3] = "anger and joy"
    digests[7] = digests[-1] = "train and test"
    digests[9] = digests[10] = "twice the same, which is harmless"
    digests[-3] = digests[-4] = "two labels in validation"
    clips = clips.remove_columns("digest").add_column("digest", digests)
    splits, lines = drop_ambiguous(split_corpus(clips))
    remaining = {name for some in splits.values() for name in some["name"]}
    assert set(clips["name"]) - remaining == {"clip0", "clip3", "clip7"}
    assert lines[-1].startswith("3 training clip(s) left out")
    assert any(line.startswith("Kept: clip21 (test, joy)") for line in lines)


def test_table_of_clips_and_speakers(capsys):
    print_splits(split_corpus(corpus(grid(12))))
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["anger", "24", "(8)", "6", "(2)", "6", "(2)"]
    assert lines[-1].split() == ["all", "classes", "48", "(8)", "12", "(2)", "12", "(2)"]
