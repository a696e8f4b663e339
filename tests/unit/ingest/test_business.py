"""What counts once whatever the event's id."""

from typing import Any

from services.ingest.domain.business import BusinessKey, business_key, counted, firsts
from services.ingest.domain.intake import ONE
from tests.unit.ingest.cases import order

A, B = BusinessKey("order.completed", "a"), BusinessKey("order.completed", "b")


def test_the_first_of_a_new_key_counts_and_its_repetitions_do_not() -> None:
    assert counted([A, None, A, B, None], {A}) == [True, True, False, False, True]
    assert firsts([None, A, B, A]) == {A: 1, B: 2}


def test_an_order_is_named_by_its_order_and_a_visit_by_nothing() -> None:
    visit = {"type": "page.viewed", "customer_id": "c-1", "data": {}}

    assert business_key(ONE.validate_python(order())) == BusinessKey("order.completed", "o-1")
    assert business_key(ONE.validate_python(visit)) is None


def test_opening_and_resolving_a_ticket_are_two_happenings() -> None:
    data = {"ticket_id": "t-1"}
    opened = {"type": "ticket.opened", "customer_id": "c", "data": data | {"channel": "email"}}
    resolved = {"type": "ticket.resolved", "customer_id": "c", "data": data}

    assert business_key(ONE.validate_python(opened)) != business_key(ONE.validate_python(resolved))


def resolved(occurred_at: str | None = None, **data: Any) -> BusinessKey | None:
    event = {"type": "ticket.resolved", "customer_id": "c", "data": {"ticket_id": "t-1"} | data}
    return business_key(ONE.validate_python(event | {"occurred_at": occurred_at}))


def test_a_ticket_that_is_resolved_again_is_another_happening() -> None:
    first = resolved("2026-03-01T10:00:00Z", satisfaction=5)

    assert resolved("2026-03-01T11:00:00+01:00", satisfaction=5) == first
    assert resolved("2026-03-04T10:00:00Z", satisfaction=5) != first
    assert resolved("2026-03-01T10:00:00Z", satisfaction=1) != first
    assert resolved(satisfaction=1) != resolved(satisfaction=5)


def test_a_copy_of_a_resolving_is_a_repetition_however_it_is_spelled() -> None:
    assert resolved() == resolved(satisfaction=None) == resolved(text=None)
    copy = {
        "id": "e-9",
        "type": "ticket.resolved",
        "anonymous_id": "v",
        "data": {"ticket_id": "t-1"},
        "context": {"channel": "web"},
    }
    assert business_key(ONE.validate_python(copy)) == resolved()


def test_refunds_of_two_orders_with_the_same_number_are_two() -> None:
    def key(order_id: str) -> BusinessKey | None:
        data = {"order_id": order_id, "refund_id": "1", "amount": "1", "currency": "GBP"}
        refund = {"type": "order.refunded", "customer_id": "c", "data": data}
        return business_key(ONE.validate_python(refund))

    assert key("o-1") == key("o-1")
    assert key("o-1") != key("o-2")
