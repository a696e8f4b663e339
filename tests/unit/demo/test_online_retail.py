"""What the invoices of the real log become."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from stack.demo.happening import Happening
from stack.demo.online_retail import BAD_DEBT, FEE, FOUND, WRITE_OFF, OnlineRetail
from stack.demo.retail_log import Invoice, Line

START = datetime(2010, 12, 1, 8, 26, tzinfo=UTC)


def line(sku: str, quantity: int, price: str = "1.25", name: str | None = "A THING") -> Line:
    return Line(sku, name, quantity, Decimal(price))


def invoice(number: str, *lines: Line, customer: str | None = "17850", day: int = 0) -> Invoice:
    return Invoice(number, START + timedelta(days=day), customer, list(lines))


def sent(*invoices: Invoice) -> list[Happening]:
    return list(OnlineRetail(list(invoices)).happenings())


def refunded_order(*invoices: Invoice) -> str:
    last = sent(*invoices)[-1]
    assert last.type == "order.refunded"
    return str(last.data["order_id"])


def test_an_invoice_is_an_order_with_an_exact_total() -> None:
    (order,) = sent(invoice("536365", line("A", 3, "0.1"), line("B", 1, "0.001", None)))
    assert order.payload() == {
        "id": "online-retail-536365",
        "type": "order.completed",
        "customer_id": "17850",
        "occurred_at": "2010-12-01T08:26:00Z",
        "data": {
            "order_id": "536365",
            "total": "0.301",
            "currency": "GBP",
            "items": [
                {"sku": "A", "quantity": 3, "unit_price": "0.1", "name": "A THING"},
                {"sku": "B", "quantity": 1, "unit_price": "0.001"},
            ],
        },
    }


def test_a_cancellation_is_a_refund_of_what_it_took_back() -> None:
    order, refund = sent(
        invoice("1", line("A", 3), line("B", 2)), invoice("C2", line("A", -1), day=2)
    )
    assert order.type == "order.completed"
    assert (refund.type, refund.id) == ("order.refunded", "online-retail-C2")
    assert refund.data == {
        "order_id": "1",
        "refund_id": "C2",
        "amount": "1.25",
        "currency": "GBP",
        "items": [{"sku": "A", "quantity": 1, "unit_price": "1.25", "name": "A THING"}],
    }


def test_a_refund_belongs_to_the_latest_order_with_all_of_it() -> None:
    whole = invoice("1", line("A", 3), line("B", 3))
    assert refunded_order(
        whole,
        invoice("2", line("A", 9), line("B", 9), day=1),
        invoice("3", line("A", 9), day=2),
        invoice("C4", line("A", -2), line("B", -2), day=3),
    ) == "2"  # fmt: skip
    assert refunded_order(
        whole,
        invoice("2", line("A", 1), line("B", 1), day=1),
        invoice("C4", line("A", -2), line("B", -2), day=3),
    ) == "1"  # fmt: skip


def test_else_to_the_latest_with_all_articles_else_with_any() -> None:
    few = invoice("1", line("A", 1), line("B", 1))
    part = invoice("2", line("A", 1), day=1)
    refund = invoice("C3", line("A", -7), line("B", -7), day=2)
    assert refunded_order(few, part, refund) == "1"
    assert refunded_order(part, refund) == "2"


def test_else_to_an_order_from_before_the_log() -> None:
    others = invoice("1", line("A", 5), customer="12345")
    later = invoice("3", line("A", 5), day=9)
    refund = invoice("C2", line("A", -1), day=1)
    (found,) = [one for one in sent(others, refund, later) if one.type == "order.refunded"]
    assert found.data["order_id"] == "before-log-C2"


def test_a_guest_is_anonymous_and_another_one_on_every_invoice() -> None:
    one, two = sent(
        invoice("1", line("A", 1), customer=None), invoice("2", line("A", 1), customer=None)
    )
    assert (one.customer_id, one.anonymous_id) == (None, "guest-1")
    assert one.person != two.person


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (invoice("A1", line("B", 1, "11062.06"), customer=None), BAD_DEBT),
        (invoice("A2", line("B", 1, "-11062.06"), customer=None), BAD_DEBT),
        (invoice("3", line("A", -10, "0"), customer=None), WRITE_OFF),
        (invoice("4", line("A", 10, "0"), customer=None), FOUND),
        (invoice("C5", line("AMAZONFEE", -1, "13541.33"), customer=None), FEE),
    ],
)
def test_entries_of_the_books_are_counted_and_not_sent(entry: Invoice, reason: str) -> None:
    history = OnlineRetail([entry, invoice("9", line("A", 1), day=1)])
    assert [one.id for one in history.happenings()] == ["online-retail-9"]
    assert history.not_sent == {reason: 1}


def test_a_gift_to_a_known_customer_is_an_order_of_nothing() -> None:
    (order,) = sent(invoice("1", line("A", 2, "0.0")))
    assert Decimal(order.data["total"]) == 0


def test_counting_again_does_not_count_twice() -> None:
    history = OnlineRetail([invoice("A1", line("B", 1), customer=None)])
    assert [list(history.happenings()), list(history.happenings())] == [[], []]
    assert history.not_sent == {BAD_DEBT: 1}
