"""Exponentially decayed counters whose addition is exact, so that late events change nothing.

A counter with half-life h is the sum of 2^((t - ORIGIN) / h) over its events: relative to a fixed
origin nothing has to be aged, so addition commutes. The exponent is counted in 64ths of a half-life
and each term is an integer scaled by 2^20, so addition is also associative to the last bit, which
floats would not be. Read at an instant, the sum is divided by that instant's own term.
"""

import math
from collections.abc import Sequence

# 2009-01-01 UTC. Older events lose bits, then vanish, 20 half-lives before it.
ORIGIN_SECONDS = 1_230_768_000
# 2100-01-01 UTC. A clock further ahead counts as this, which bounds the length of the integers.
LATEST_SECONDS = 4_102_444_800
DAY_SECONDS = 86_400
HALF_LIVES_DAYS = (14, 60)
LEVEL_MAX = 1_000_000.0

_STEPS = 64
_SCALE_BITS = 20
_EXPONENT_MAX = 1_000
_FRACTIONS = tuple(round(2 ** (step / _STEPS + _SCALE_BITS)) for step in range(_STEPS))


def term(at_seconds: int, half_life_days: int) -> int:
    """What one event at `at_seconds` (since 1970) adds to a counter."""
    whole, step = _position(at_seconds, half_life_days)
    fraction = _FRACTIONS[step]
    return fraction << whole if whole >= 0 else fraction >> -whole


def level(counter: int, half_life_days: int, at_seconds: int) -> float:
    """The decayed count as of `at_seconds`: 1 for one event just now, 0.5 a half-life later.

    Events still ahead of `at_seconds` count for more than one; the result is bounded.
    """
    return _level(counter, *_position(at_seconds, half_life_days))


def levels(counters: Sequence[int], at_seconds: int) -> list[float]:
    """The decayed counts of counters with each half-life in turn, as of `at_seconds`."""
    positions = [_position(at_seconds, days) for days in HALF_LIVES_DAYS]
    repeated = len(counters) // len(positions)
    return [
        _level(counter, *position) if counter else 0.0
        for counter, position in zip(counters, positions * repeated, strict=True)
    ]


def _level(counter: int, whole: int, step: int) -> float:
    if counter <= 0:
        return 0.0
    shift = max(0, counter.bit_length() - 60)
    exponent = min(shift - whole, _EXPONENT_MAX - 60)
    return min(math.ldexp((counter >> shift) / _FRACTIONS[step], exponent), LEVEL_MAX)


def _position(at_seconds: int, half_life_days: int) -> tuple[int, int]:
    """Half-lives since the origin: whole ones, and 64ths of one."""
    since = min(at_seconds, LATEST_SECONDS) - ORIGIN_SECONDS
    return divmod(since * _STEPS // (half_life_days * DAY_SECONDS), _STEPS)
