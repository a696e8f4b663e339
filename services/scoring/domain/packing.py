"""A customer's state as compact JSON text and back: equal states give equal bytes."""

from collections.abc import Iterable
from typing import Any

import orjson

from services.scoring.domain.features import (
    EMPTY,
    NO_COUNTS,
    NO_WARMTH,
    CustomerState,
    Money,
)
from services.scoring.domain.orders import Order, Refund

VERSION = 1
_JSON_MAX = 2**63


def pack(state: CustomerState) -> str:
    """`[version, days, money, counts, warmth, first, last]`, sorted, without trailing zeros.

    The counters of `warmth` are hexadecimal, being integers of hundreds of bits; so are sums of
    money that a signed 64-bit integer cannot hold.
    """
    return _encode(
        [
            VERSION,
            [number for day in sorted(state.days.items()) for number in day],
            [
                [currency, money.orders, _number(money.spent), _number(money.refunded)]
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
    version, days, money, counts, warmth, first, last = orjson.loads(text)
    assert version == VERSION, f"state of version {version}"
    return CustomerState(
        dict(zip(days[::2], days[1::2], strict=True)),
        {one[0]: Money(one[1], _integer(one[2]), _integer(one[3])) for one in money},
        (*counts, *NO_COUNTS[len(counts) :]),
        (*(int(counter, 16) for counter in warmth), *NO_WARMTH[len(warmth) :]),
        first,
        last,
    )


def _encode(value: list[Any]) -> str:
    return orjson.dumps(value).decode()


def _number(value: int) -> int | str:
    return value if -_JSON_MAX <= value < _JSON_MAX else f"{value:x}"


def _integer(value: int | str) -> int:
    return int(value, 16) if isinstance(value, str) else value


def pack_refunds(order: Order) -> str:
    """The refunds of an order as JSON."""
    return _encode([[one.refund_id, one.minor, one.currency] for one in order.refunds])


def unpack_refunds(text: str) -> tuple[Refund, ...]:
    """The refunds that `pack_refunds` wrote."""
    return tuple(Refund(*one) for one in orjson.loads(text))


def _trimmed(numbers: Iterable[int]) -> list[int]:
    kept: list[Any] = list(numbers)
    while kept and not kept[-1]:
        kept.pop()
    return kept
