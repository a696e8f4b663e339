"""Rules that cannot be right are refused when the service starts, not with the first order."""

from typing import Any

import pytest
from pydantic import ValidationError

from services.loyalty.domain.orders import Order, Refund, points_due, refund_order
from services.loyalty.settings import LoyaltySettings
from shared.events.commerce import OrderCompleted
from shared.testing.builders import NOON, event
from tests.unit.loyalty.ledger_in_memory import Ledger

LARGEST_TOTAL = "999999999999.999999"


@pytest.mark.parametrize(
    "given",
    [
        {"earning_rules": [{"name": "a", "points_per_unit": -1}]},
        {"earning_rules": [{"name": "a", "points_per_unit": 10**10}]},
        {"earning_rules": [{"name": "a", "condition": "true"}]},
        {"gestures": [{"name": "a", "points": 0}]},
        {"offers": [{"offer": "a", "points": 10**18}]},
        {"gestures": [{"name": "a", "points": 1, "once_per_days": 10**9}]},
        {"earning_rules": [{"name": "x" * 201}]},
        {"tiers": [{"name": "", "points": 0}]},
        {"tiers": []},
        {"tiers": [{"name": "a", "points": 5}]},
        {"tiers": [{"name": "a", "points": 0}, {"name": "a", "points": 5}]},
    ],
)
def test_a_program_that_cannot_be_right_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        LoyaltySettings(database_url="postgresql://x", **given)


def test_hundreds_of_the_largest_orders_fit_into_64_bits() -> None:
    generous = [{"name": "a", "points_per_unit": 10_000}]
    settings = LoyaltySettings(database_url="postgresql://x", earning_rules=generous)  # type: ignore[arg-type]
    ledger = Ledger(settings.program())
    for number in range(300):
        ledger.handle(event(OrderCompleted, order_id=f"o-{number}", total=LARGEST_TOTAL))
    ledger.check()
    assert sum(one.active for one in ledger.accounts.values()) < 2**63


def test_an_order_of_nothing_earns_and_reverses_nothing() -> None:
    ledger = Ledger()
    assert ledger.handle(event(OrderCompleted, total="0")) == ["nothing"]
    order = ledger.orders["o-1"]
    refund = Refund("o-1", "r-1", order.total, "GBP", "c", "e", NOON)
    assert points_due(refund_order(order, refund)) == 0
    assert points_due(Order("o-2")) == 0
