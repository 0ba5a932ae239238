"""Changes to bytes and to JSON."""

from __future__ import annotations

import copy
from random import Random
from typing import Any

NUMBERS: list[Any] = [
    *[0, 1, -1, 2, 7, 255, 65536, 2**31 - 1, 2**31, 2**63 - 1, -(2**63), 2**64, 10**400],
    *[0.5, -0.5, 1e-300, 1e308, 1e-9, float("nan"), float("inf"), float("-inf")],
]
"""Numbers at and beyond the ends of ranges."""

STRINGS = ["", " ", "0", "nan", "é", "\ud800", "\0", "\x1b[2J", "a\nb", "x" * 300, "\u0661"]
"""Text that programs stumble over."""


def mutated_bytes(content: bytes, random: Random) -> bytes:
    """Flip, set, insert, delete or copy a few bytes, or cut the end off."""
    changed = bytearray(content)
    for _ in range(random.choice([1, 1, 2, 4, 16])):
        if not changed:
            break
        at = random.randrange(len(changed))
        match random.randrange(11):
            case 0 | 1:
                changed[at] ^= 1 << random.randrange(8)
            case 2 | 3:
                changed[at] = random.choice([0, 1, 0x7F, 0x80, 0xFF])
            case 4 | 5:
                changed[at:at] = random.randbytes(random.choice([1, 2, 8]))
            case 6 | 7:
                del changed[at : at + random.choice([1, 2, 8, 100])]
            case 8 | 9:
                other = random.randrange(len(changed))
                changed[at : at + 16] = changed[other : other + 16]
            case 10:
                del changed[at:]
    return bytes(changed)


def any_value(random: Random) -> Any:
    """Return a value that JSON can hold, as a rule not the right one."""
    match random.randrange(8):
        case 0 | 1 | 2:
            return random.choice(NUMBERS)
        case 3 | 4:
            return random.choice(STRINGS)
        case 5:
            return random.choice([None, True, False])
        case 6:
            return [any_value(random) for _ in range(random.choice([0, 1, 3]))]
        case _:
            return {random.choice(STRINGS): any_value(random) for _ in range(random.randrange(3))}


def mutated_json(values: dict[str, Any], random: Random) -> dict[str, Any]:
    """Replace, remove or add a few values anywhere in `values`."""
    changed = copy.deepcopy(values)
    for _ in range(random.choice([1, 1, 1, 2, 3])):
        place: Any = changed
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if not keys:
                break
            key = random.choice(keys)
            if isinstance(place[key], dict | list) and random.random() < 0.7:
                place = place[key]
                continue
            match random.randrange(6):
                case 0:
                    del place[key]
                case 1 if isinstance(place, dict):
                    place[random.choice(STRINGS)] = place.pop(key)
                case _:
                    place[key] = any_value(random)
            break
    return changed
