"""A customer's state as compact JSON text and back: equal states give equal bytes."""

import json
from collections.abc import Iterable
from typing import Any

from services.scoring.domain.features import (
    EMPTY,
    NO_COUNTS,
    NO_WARMTH,
    CustomerState,
    Money,
)
from services.scoring.domain.orders import Order, Refund

VERSION = 1
_encode = json.JSONEncoder(separators=(",", ":")).encode


def pack(state: CustomerState) -> str:
    """`[version, days, money, counts, warmth, first, last]`, sorted, without trailing zeros.

    The counters of `warmth` are hexadecimal, being integers of hundreds of bits.
    """
    return _encode(
        [
            VERSION,
            [number for day in sorted(state.days.items()) for number in day],
            [
                [currency, money.orders, money.spent, money.refunded]
                for currency, money in sorted(state.money.items())
            ],
            _trimmed(state.counts),
            [f"{counter:x}" for counter in _trimmed(state.warmth)],
            state.first_seen,
            state.last_seen,
        ]
    )


def unpack(text: str) -> CustomerState:
    """The state that `pack` wrote; an empty text is the empty state."""
    if not text:
        return EMPTY
    version, days, money, counts, warmth, first, last = json.loads(text)
    assert version == VERSION, f"state of version {version}"
    return CustomerState(
        dict(zip(days[::2], days[1::2], strict=True)),
        {one[0]: Money(one[1], one[2], one[3]) for one in money},
        (*counts, *NO_COUNTS[len(counts) :]),
        (*(int(counter, 16) for counter in warmth), *NO_WARMTH[len(warmth) :]),
        first,
        last,
    )


def pack_refunds(order: Order) -> str:
    """The refunds of an order as JSON."""
    return _encode([[one.refund_id, one.minor, one.currency] for one in order.refunds])


def unpack_refunds(text: str) -> tuple[Refund, ...]:
    """The refunds that `pack_refunds` wrote."""
    return tuple(Refund(*one) for one in json.loads(text))


def _trimmed(numbers: Iterable[int]) -> list[int]:
    kept: list[Any] = list(numbers)
    while kept and not kept[-1]:
        kept.pop()
    return kept
