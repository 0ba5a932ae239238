"""Blocks of any size into overlapping windows."""

from __future__ import annotations

import numpy as np
import pytest

from emo_listen.windows import Window, Windower

RATE = 1000


def cut(samples: np.ndarray, block_length: int, window: float, hop: float) -> list[Window]:
    windower = Windower(RATE, window, hop)
    windows = [
        found
        for start in range(0, len(samples), block_length)
        for found in windower.push(samples[start : start + block_length])
    ]
    last = windower.finish()
    return windows if last is None else [*windows, last]


def spans(windows: list[Window]) -> list[tuple[int, int]]:
    return [(window.start, window.end) for window in windows]


def test_first_windows_grow_and_the_last_ends_at_the_last_sample() -> None:
    samples = np.arange(4201, dtype=np.float32)
    windows = cut(samples, 300, window=3, hop=0.5)
    assert spans(windows) == [
        (0, 1000),
        (0, 1500),
        (0, 2000),
        (0, 2500),
        (0, 3000),
        (500, 3500),
        (1000, 4000),
        (1201, 4201),
    ]
    for window in windows:
        np.testing.assert_array_equal(window.samples, samples[window.start : window.end])


@pytest.mark.parametrize(
    ("length", "window", "hop", "expected"),
    [
        (0, 3, 0.5, []),
        (1, 3, 0.5, [(0, 1)]),
        (400, 3, 0.5, [(0, 400)]),
        (1000, 3, 0.5, [(0, 1000)]),
        (1001, 3, 0.5, [(0, 1000), (0, 1001)]),
        (1000, 0.4, 0.4, [(0, 400), (400, 800), (600, 1000)]),
        (1300, 0.5, 0.3, [(100, 600), (400, 900), (700, 1200), (800, 1300)]),
        (4000, 2, 2, [(0, 2000), (2000, 4000)]),
    ],
)
def test_spans(length: int, window: float, hop: float, expected: list[tuple[int, int]]) -> None:
    assert spans(cut(np.zeros(length, np.float32), 64, window, hop)) == expected


@pytest.mark.parametrize(("window", "hop"), [(3, 0.5), (0.7, 0.3), (2, 2), (1.5, 0.001)])
def test_blocks_of_any_size_give_the_same_windows(window: float, hop: float) -> None:
    samples = np.random.default_rng(0).standard_normal(5123).astype(np.float32)
    whole = cut(samples, len(samples), window, hop)
    for block_length in (1, 7, 999, 1000, 4096):
        windows = cut(samples, block_length, window, hop)
        assert spans(windows) == spans(whole)
        for one, other in zip(windows, whole, strict=True):
            np.testing.assert_array_equal(one.samples, other.samples)
