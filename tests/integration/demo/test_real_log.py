"""The real log as a history: nothing is missing, nothing is twice, everything adds up."""

import json
import os
from collections import Counter
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest

from services.ingest.domain.intake import BATCH
from stack.demo.happening import ORDER, Happening
from stack.demo.online_retail import BAD_DEBT, FEE, FOUND, WRITE_OFF, OnlineRetail, load

ROOT = Path(__file__).parents[3]
DATA = Path(os.environ.get("TENURE_DATA", ROOT.parent / "shared" / "data"))


@pytest.fixture(scope="module")
def history() -> OnlineRetail:
    return load(DATA)


@pytest.fixture(scope="module")
def happenings(history: OnlineRetail) -> list[Happening]:
    return list(history.happenings())


def test_every_invoice_is_an_event_or_has_its_reason(
    history: OnlineRetail, happenings: list[Happening]
) -> None:
    assert len(history.invoices) == 25_900
    kinds = Counter(one.type for one in happenings)
    assert kinds == {ORDER: 19_959, "order.refunded": 3_762}
    assert history.not_sent == {WRITE_OFF: 1_336, FOUND: 762, FEE: 78, BAD_DEBT: 3}
    assert sum(kinds.values()) + sum(history.not_sent.values()) == 25_900


def test_time_order_and_ids(happenings: list[Happening]) -> None:
    assert all(earlier.at <= later.at for earlier, later in pairwise(happenings))
    assert len({one.id for one in happenings}) == len(happenings)
    assert len({one.customer_id for one in happenings if one.customer_id}) == 4_372


def test_all_the_money_is_there(history: OnlineRetail, happenings: list[Happening]) -> None:
    sold = sum(Decimal(one.data["total"]) for one in happenings if one.type == ORDER)
    back = sum(Decimal(one.data["amount"]) for one in happenings if one.type != ORDER)
    sent = {one.id.removeprefix("online-retail-") for one in happenings}
    rest = sum((one.total for one in history.invoices if one.number not in sent), Decimal(0))
    assert sold - back + rest == Decimal("9747747.934")
    for one in happenings:
        if one.type == ORDER:
            lines = one.data["items"]
            total = sum(line["quantity"] * Decimal(line["unit_price"]) for line in lines)
            assert total == Decimal(one.data["total"])


def test_a_refund_is_of_an_earlier_order_of_the_same_customer(happenings: list[Happening]) -> None:
    owner: dict[str, str | None] = {}
    unknown = 0
    for one in happenings:
        order = one.data["order_id"]
        if one.type == ORDER:
            owner[order] = one.customer_id
        elif order.startswith("before-log-"):
            unknown += 1
        else:
            assert owner[order] == one.customer_id
    assert unknown == 619


def test_the_door_of_ingest_takes_all_of_it(happenings: list[Happening]) -> None:
    payloads = [one.payload() for one in happenings]
    for first in range(0, len(payloads), 2_000):
        body = json.dumps({"events": payloads[first : first + 2_000]}).encode()
        BATCH.validate_json(body, extra="forbid")
