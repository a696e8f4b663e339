"""Money is decimal, has a currency, and is rounded once, at the end."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.money import Money, exponent

cents = st.integers(-(10**12), 10**12).map(lambda value: Money(Decimal(value).scaleb(-2), "GBP"))


def money(amount: str, currency: str = "GBP") -> Money:
    return Money(Decimal(amount), currency)


@pytest.mark.parametrize(
    ("amount", "currency", "rounded"),
    [
        ("1.005", "GBP", "1.00"),
        ("1.015", "GBP", "1.02"),
        ("-1.005", "GBP", "-1.00"),
        ("2.5", "JPY", "2"),
        ("3.5", "JPY", "4"),
        ("1.0005", "KWD", "1.000"),
        ("1", "EUR", "1.00"),
    ],
)
def test_rounding_is_to_the_minor_unit_half_to_even(
    amount: str, currency: str, rounded: str
) -> None:
    assert str(money(amount, currency).rounded().amount) == rounded


@pytest.mark.parametrize(("amount", "whole"), [("12.99", 12), ("0.99", 0), ("-12.99", -12)])
def test_whole_units_are_towards_zero(amount: str, whole: int) -> None:
    assert money(amount).whole_units() == whole


def test_two_currencies_do_not_add_up() -> None:
    with pytest.raises(ValueError, match="GBP with EUR"):
        money("1") + money("1", "EUR")
    with pytest.raises(ValueError, match="GBP with EUR"):
        money("1") - money("1", "EUR")


@given(cents, cents)
def test_what_was_added_can_be_taken_away_without_a_trace(one: Money, other: Money) -> None:
    assert one + other - other == one
    assert one + other == other + one


def test_a_currency_we_do_not_know_has_two_places() -> None:
    assert [exponent(currency) for currency in ("XXX", "JPY", "BHD")] == [2, 0, 3]
