"""Try mutated inputs, and tell what became of them."""

from __future__ import annotations

import argparse
import sys
from collections import Counter

from tests.fuzz.kinds import NAMES
from tests.fuzz.workers import Input, run


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--kind", choices=NAMES, action="append", help="default: all")
    parser.add_argument("--count", type=int, default=10_000, help="inputs, over all kinds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2, help="processes (default: 2)")
    parser.add_argument("--only", type=int, help="number of the one input to try")
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    kinds = args.kind or NAMES
    numbers = range(args.count) if args.only is None else [args.only * len(kinds)]
    inputs = [Input(kinds[n % len(kinds)], args.seed, n // len(kinds)) for n in numbers]
    outcomes: Counter[tuple[str, str]] = Counter()
    for result in run(inputs, jobs=args.jobs):
        outcomes[result.input.kind, result.outcome] += 1
        if result.fault:
            print(f"{result.input}: {result.fault}", flush=True)
    print(f"{'kind':<16} {'taken':>7} {'refused':>7} {'faults':>7}")
    for kind in kinds:
        print(f"{kind:<16} " + " ".join(f"{outcomes[kind, o]:>7}" for o in OUTCOMES))
    return 1 if any(outcome == "fault" for _, outcome in outcomes) else 0


OUTCOMES = ("taken", "refused", "fault")


if __name__ == "__main__":
    sys.exit(main())
