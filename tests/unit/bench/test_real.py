"""Real orders become events of customers that differ from round to round."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from bench import real, shop
from shared.events.registry import parse
from shared.runtime.outbox import TYPE_HEADER
from stack.demo.online_retail import OnlineRetail
from stack.demo.retail_log import Invoice, Line

START = datetime(2010, 12, 1, 8, 26, tzinfo=UTC)


def a_log() -> OnlineRetail:
    def invoice(number: str, quantity: int, day: int) -> Invoice:
        line = Line("A", "A THING", quantity, Decimal("1.25"))
        return Invoice(number, START + timedelta(days=day), "17850", [line])

    return OnlineRetail([invoice("1", 3, 0), invoice("C2", -1, 1), invoice("3", 2, 2)])


def test_orders_and_refunds_are_what_scoring_can_read() -> None:
    happened = list(real.orders(a_log(), seed="round-1", count=3))
    events = []
    for one in happened:
        record = shop.record_of(one)
        events.append(parse(record.value or b"", dict(record.headers)[TYPE_HEADER].decode()))

    assert [one.type for one in events] == ["order.completed", "order.refunded", "order.completed"]
    assert {one.subject for one in events} == {"round-1-17850"}
    assert happened[0].data["order_id"] == happened[1].data["order_id"] == "round-1-1"


def test_another_round_has_other_events_of_other_customers() -> None:
    rounds = [list(real.orders(a_log(), seed=seed, count=2)) for seed in ("a", "b")]

    assert [len(one) for one in rounds] == [2, 2]
    assert len({one.id for round_ in rounds for one in round_}) == 4
    assert len({one.customer_id for round_ in rounds for one in round_}) == 2


def test_without_the_log_there_is_none(tmp_path: Path) -> None:
    assert real.find(tmp_path) is None
