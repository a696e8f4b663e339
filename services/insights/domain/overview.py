"""The formulas of the overview that are more than a sum."""

from decimal import Decimal
from typing import Final

from shared.money import Money

BANDS: Final = ("low", "medium", "high", "critical")
AT_RISK: Final = frozenset({"high", "critical"})


def average(total: Decimal, count: int, currency: str) -> Decimal | None:
    """Mean amount per order in the currency's minor unit; None without orders."""
    return Money(total / count, currency).rounded().amount if count else None


def share(part: int, whole: int) -> float | None:
    """`part` of `whole`, 0 to 1; None when there is no whole."""
    assert 0 <= part <= whole, f"{part} is not a part of {whole}"
    return part / whole if whole else None


def mean(total: float, count: int) -> float | None:
    """Arithmetic mean; None of nothing."""
    return total / count if count else None
