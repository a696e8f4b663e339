"""From states to numbers: one row a customer and instant, then columns for vectorised scoring.

The same rows serve scoring, reviews, reads and training, so there is nothing between them to skew.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.scoring.domain import decay
from services.scoring.domain.features import (
    NO_COUNTS,
    NO_MONEY,
    NO_WARMTH,
    Count,
    CustomerState,
    Money,
)
from shared.money import exponent

Floats = NDArray[np.float64]
# Where a row's levels begin, where its counts do, and where it ends.
_FIGURES = 6
_LEVELS = _FIGURES + len(NO_WARMTH)
_WIDTH = _LEVELS + len(NO_COUNTS)


class Basis(NamedTuple):
    """The whole numbers of a row. Days are whole UTC days; money is in minor units.

    `last` is days from first to last purchase, `silent` days since the last one (for who never
    bought: since first seen), `gap` days between the last two. `anchor` is the day since 1970 from
    which silence counts. `orders` are those in any currency, the money is in the main one.
    """

    purchases: int
    last: int
    silent: int
    gap: int
    anchor: int
    orders: int
    spent: int
    refunded: int
    unit: int


class Buyers(NamedTuple):
    """What the model of buying looks at, one number a customer in each array (see `Basis`)."""

    purchases: Floats
    repeats: Floats
    last: Floats
    silent: Floats


@dataclass(frozen=True, slots=True)
class Columns:
    """Rows of many customers, turned: float64 arrays of one length.

    `native` is 1 where `net` is in a currency that the model's amounts are in, else 0. `levels` and
    `counts` hold a line for each decayed counter and each `Count`.
    """

    buyers: Buyers
    orders: Floats
    net: Floats
    native: Floats
    levels: Floats
    counts: Floats


def main_currency(state: CustomerState, otherwise: str) -> str:
    """The currency of most of the customer's orders; ties go by the name."""
    money = state.money
    if len(money) > 1:
        return min(money, key=lambda name: (-money[name].orders, name))
    return next(iter(money), otherwise)


def basis_of(state: CustomerState, currency: str, as_of_seconds: int) -> Basis:
    """The whole numbers of a customer as of an instant; nothing is negative but money."""
    today = as_of_seconds // decay.DAY_SECONDS
    money: Money = state.money.get(currency, NO_MONEY)
    orders = sum(one.orders for one in state.money.values())
    shared = (orders, money.spent, money.refunded, 10 ** exponent(currency))
    if not state.days:
        seen = state.first_seen if state.first_seen is not None else as_of_seconds
        anchor = seen // decay.DAY_SECONDS
        return Basis(0, 0, max(0, today - anchor), 0, anchor, *shared)
    days = sorted(state.days)
    gap = days[-1] - days[-2] if len(days) > 1 else 0
    anchor = days[-1]
    return Basis(len(days), anchor - days[0], max(0, today - anchor), gap, anchor, *shared)


def row_of(
    state: CustomerState, basis: Basis, as_of_seconds: int, *, native: bool
) -> tuple[float, ...]:
    """One row: purchases, last, silent, orders, net in major units, native, levels, counts."""
    net = (basis.spent - basis.refunded) / basis.unit
    return (
        basis.purchases,
        basis.last,
        basis.silent,
        basis.orders,
        net,
        native,
        *decay.levels(state.warmth, as_of_seconds),
        *state.counts,
    )


def columns_of(rows: Iterable[tuple[float, ...]]) -> Columns:
    """The rows turned."""
    table = turned(rows, _WIDTH)
    purchases, last, silent, orders, net, native = table[:_FIGURES]
    return Columns(
        buyers=buyers_of(purchases, last, silent),
        orders=orders,
        net=net,
        native=native,
        levels=table[_FIGURES:_LEVELS],
        counts=table[_LEVELS:],
    )


def buyers_of(purchases: Floats, last: Floats, silent: Floats) -> Buyers:
    """Buyers by their purchases; see `Basis`."""
    return Buyers(purchases, np.maximum(purchases - 1.0, 0.0), last, silent)


def turned(rows: Iterable[tuple[float, ...]], width: int) -> Floats:
    """Rows of `width` numbers as a table with a line for each column."""
    numbers = np.fromiter(chain.from_iterable(rows), np.float64)
    return np.ascontiguousarray(numbers.reshape(-1, width).T)


def count_of(columns: Columns, which: Count) -> Floats:
    """The column of one counter."""
    line: Floats = columns.counts[which]
    return line
