"""Lost audio is found from the arrival times of blocks; delayed audio is not reported as lost."""

from __future__ import annotations

import numpy as np
import pytest

from emo_listen.sources.base import Gap
from emo_listen.sources.overflow import SETTLING, Arrival, OverflowWatch

RATE = 16000
BLOCK = 1600
"""A tenth of a second."""


def blocks(count: int) -> list[np.ndarray]:
    """Blocks of which no two are alike."""
    return [np.full(BLOCK, index, np.float32) for index in range(count)]


def watched(
    lateness: list[float], *, overflows: tuple[int, ...] = (), dropped: dict[int, int] | None = None
) -> list[float | Gap]:
    """Gaps, and the numbers of the blocks that came, each so many seconds after its sound."""
    watch = OverflowWatch(RATE)
    items: list[np.ndarray | Gap] = []
    last = 0.0
    for index, block in enumerate(blocks(len(lateness))):
        # No block comes before the one before it.
        last = max(last, (index + 1) * BLOCK / RATE + lateness[index])
        arrival = Arrival(block, last, index in overflows, (dropped or {}).get(index, 0))
        items += watch.push(arrival)
    items += watch.finish()
    return [item if isinstance(item, Gap) else float(item[0]) for item in items]


def seconds_lost(items: list[float | Gap]) -> list[float]:
    return [round(item.seconds, 3) for item in items if isinstance(item, Gap)]


def numbers_around_gap(
    items: list[float | Gap], reason: str = "overflow"
) -> tuple[list, float, list]:
    """The blocks before the only gap, its length in seconds, and the blocks after it."""
    ((place, gap),) = [(i, item) for i, item in enumerate(items) if isinstance(item, Gap)]
    assert gap.reason == reason
    return items[:place], round(gap.seconds, 3), items[place + 1 :]


def test_jitter_and_drift_are_no_loss() -> None:
    jitter = np.random.default_rng(0).exponential(0.03, 36000).clip(max=0.19)
    # A clock that is slow by 500 ppm falls behind by 1.8 s in an hour.
    lateness = jitter + 500e-6 * np.arange(36000) * BLOCK / RATE
    assert watched(lateness.tolist()) == list(range(36000))
    assert watched((-lateness).tolist()) == list(range(36000))


@pytest.mark.parametrize("stall", [0.3, 2.0, 30.0])
def test_blocks_that_were_held_up_are_no_loss(stall: float) -> None:
    lateness = [0.0] * 20 + [max(0.0, stall - 0.1 * index) for index in range(320)]
    assert watched(lateness) == list(range(340))


def test_a_loss_stands_where_the_sound_is_late_for_good() -> None:
    # No block was held up meanwhile: the device delivered nothing.
    items = watched([0.01, 0.0] * 10 + [1.31, 1.3] * 10)
    assert numbers_around_gap(items, "device") == ([*range(20)], 1.3, [*range(20, 40)])


def test_a_loss_after_sound_that_was_held_up_stands_behind_it() -> None:
    # Nine blocks waited while the process hung, and two seconds found no room any more.
    held_up = [2.9 - 0.1 * index for index in range(9)]
    items = watched([0.0] * 20 + held_up + [2.0] * 20)
    assert numbers_around_gap(items) == ([*range(29)], 2.0, [*range(29, 49)])


def test_two_losses_are_two_gaps() -> None:
    items = watched([0.0] * 20 + [0.5] * 20 + [1.5] * 20)
    assert seconds_lost(items) == [0.5, 1.0]
    # The second within the time in which the first is still uncertain.
    items = watched([0.0] * 20 + [0.5] * 3 + [1.5] * 20)
    assert seconds_lost(items) == [0.5, 1.0]
    assert [item for item in items if not isinstance(item, Gap)] == list(range(43))


def test_a_flagged_loss_is_told_however_short() -> None:
    items = watched([0.0] * 20 + [0.05] * 20, overflows=(20,))
    assert numbers_around_gap(items) == ([*range(20)], 0.05, [*range(20, 40)])
    # Also where the stream ends before it is certain.
    items = watched([0.0] * 20 + [0.7], overflows=(20,))
    assert numbers_around_gap(items) == ([*range(20)], 0.7, [20])


def test_what_found_no_room_is_exact_and_not_counted_twice() -> None:
    items = watched([0.0] * 10 + [0.5] * 10, dropped={10: 5 * BLOCK})
    assert items == [*range(10), Gap(0.5, "overflow"), *range(10, 20)]


def test_a_block_waits_no_longer_than_it_must() -> None:
    watch = OverflowWatch(RATE)
    assert len(list(watch.push(Arrival(np.zeros(BLOCK, np.float32), 0.1)))) == 1
    waiting = 0
    while not list(watch.push(Arrival(np.zeros(BLOCK, np.float32), 1.2 + 0.1 * waiting))):
        waiting += 1
    assert waiting == round(SETTLING * RATE / BLOCK)
