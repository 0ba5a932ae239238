"""500 mutated inputs, each taken or refused by name; `make fuzz` tries 10,000."""

from __future__ import annotations

from collections import Counter

from tests.fuzz.kinds import NAMES
from tests.fuzz.workers import Input, run

COUNT = 500


def test_mutated_inputs_are_taken_or_refused_by_name() -> None:
    inputs = [Input(NAMES[n % len(NAMES)], 1, n // len(NAMES)) for n in range(COUNT)]
    results = list(run(inputs, jobs=2))
    assert [f"{result.input}: {result.fault}" for result in results if result.fault] == []
    outcomes = Counter((result.input.kind, result.outcome) for result in results)
    assert sum(outcomes.values()) == COUNT
    for kind in NAMES:
        assert outcomes[kind, "refused"] > 5
        assert outcomes[kind, "taken"] > 5
