"""Turns of two-channel conversations, counted with and without the removal of crosstalk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.conversations.two_channels import (
    ChannelTurn,
    compose_two_channels,
    count_turns,
)
from benchmarks.crosstalk import channel_segments
from emo_listen import EmotionModel
from train.corpus.recordings import load_clips

CREMA_D = Path(__file__).parents[3] / "shared" / "crema-d"


def test_turns_lost_and_doubled_are_counted() -> None:
    turns = [ChannelTurn(0, 0.0, 2.0), ChannelTurn(1, 2.5, 4.0)]
    assert count_turns(turns, [[(0.0, 2.0)], [(2.5, 4.0)]]) == {"turns": 2, "lost": 0, "doubled": 0}
    assert count_turns(turns, [[(0.0, 4.0)], []]) == {"turns": 2, "lost": 1, "doubled": 1}


@pytest.mark.corpus
def test_a_faint_copy_does_not_double_turns(bundled_model: EmotionModel, tmp_path: Path) -> None:
    if not CREMA_D.is_dir():
        pytest.skip("CREMA-D not found")
    clips = load_clips(str(CREMA_D), "validation", 16_000, limit=60, cache_dir=tmp_path)
    counts = {}
    for removed in (False, True):
        generator = np.random.default_rng(3)
        sound, turns = compose_two_channels(clips, 16_000, 6, -12.0, -75.0, generator)
        counts[removed] = count_turns(
            turns, channel_segments(bundled_model, sound, removed=removed)
        )
    assert counts[False]["doubled"] >= 4
    assert counts[True] == {"turns": 6, "lost": 0, "doubled": 0}
