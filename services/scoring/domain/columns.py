"""From states to numbers: one row a customer and instant, then columns for vectorised scoring.

The same rows serve scoring, reviews, reads and training, so there is nothing between them to skew.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.scoring.domain import decay
from services.scoring.domain.features import NO_MONEY, Count, CustomerState, Money
from shared.money import exponent

Floats = NDArray[np.float64]
# The numbers of a row in front of its levels.
_FIGURES = 6


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


@dataclass(frozen=True, slots=True)
class Columns:
    """Rows of many customers, turned: float64 arrays of one length.

    `native` is 1 where `net` is in a currency that the model's amounts are in, else 0.
    """

    purchases: Floats
    repeats: Floats
    last: Floats
    silent: Floats
    orders: Floats
    net: Floats
    native: Floats
    levels: tuple[Floats, ...]
    counts: tuple[Floats, ...]


def main_currency(state: CustomerState, otherwise: str) -> str:
    """The currency of most of the customer's orders; ties go by the name."""
    if not state.money:
        return otherwise
    return min(state.money, key=lambda name: (-state.money[name].orders, name))


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
    halves = decay.HALF_LIVES_DAYS
    levels = [
        decay.level(counter, halves[index % len(halves)], as_of_seconds) if counter else 0.0
        for index, counter in enumerate(state.warmth)
    ]
    net = (basis.spent - basis.refunded) / basis.unit
    return (
        basis.purchases,
        basis.last,
        basis.silent,
        basis.orders,
        net,
        native,
        *levels,
        *state.counts,
    )


def columns_of(rows: Sequence[tuple[float, ...]], levels: int) -> Columns:
    """The rows turned; `levels` is how many of each row's numbers are decayed counters."""
    table = np.ascontiguousarray(np.array(rows, dtype=np.float64).reshape(len(rows), -1).T)
    purchases, last, silent, orders, net, native = table[:_FIGURES]
    return Columns(
        purchases=purchases,
        repeats=np.maximum(purchases - 1.0, 0.0),
        last=last,
        silent=silent,
        orders=orders,
        net=net,
        native=native,
        levels=tuple(table[_FIGURES : _FIGURES + levels]),
        counts=tuple(table[_FIGURES + levels :]),
    )


def count_of(columns: Columns, which: Count) -> Floats:
    """The column of one counter."""
    return columns.counts[which]
