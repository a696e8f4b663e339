"""The simulated shop: seeded, in order, acceptable at the door, and with customers who answer."""

import json
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from itertools import islice, pairwise

import pytest

from services.ingest.domain.intake import BATCH
from stack.demo.happening import ORDER, Happening, Intervention, until_order
from stack.demo.people import draw_people
from stack.demo.simulator import STARTS_AT, SimulatedShop

CUSTOMERS = 300


def shop(seed: int = 7) -> SimulatedShop:
    return SimulatedShop(seed=seed, customers=CUSTOMERS)


@pytest.fixture(scope="module")
def history() -> list[Happening]:
    return list(shop().happenings())


def test_the_history_is_in_time_order_and_every_event_has_its_own_id(
    history: list[Happening],
) -> None:
    assert all(earlier.at <= later.at for earlier, later in pairwise(history))
    assert len({happening.id for happening in history}) == len(history)
    assert shop().starts_at <= history[0].at <= history[-1].at <= shop().ends_at


def test_the_same_seed_gives_the_same_shop_and_another_seed_another(
    history: list[Happening],
) -> None:
    assert list(shop().happenings()) == history
    assert list(islice(shop(seed=8).happenings(), 100)) != history[:100]


def test_the_door_of_ingest_takes_every_event(history: list[Happening]) -> None:
    body = json.dumps({"events": [happening.payload() for happening in history]}).encode()
    assert len(BATCH.validate_json(body, extra="forbid").events) == len(history)


def test_a_shop_has_all_that_a_shop_has(history: list[Happening]) -> None:
    kinds = Counter(happening.type for happening in history)
    for needed in (
        *("customer.updated", "session.started", "product.viewed", "cart.updated", ORDER),
        *("order.refunded", "order.cancelled", "payment.failed", "ticket.opened"),
        *("ticket.replied", "ticket.resolved", "message.opened", "message.clicked"),
        *("survey.answered", "review.submitted", "referral.made", "custom.gift_wrapped"),
    ):
        assert kinds[needed], needed
    assert kinds["customer.updated"] == CUSTOMERS
    assert kinds[ORDER] > 4 * CUSTOMERS


def test_newcomers_look_round_unnamed_before_they_are_known(history: list[Happening]) -> None:
    linked = {one.anonymous_id: one.at for one in history if one.customer_id and one.anonymous_id}
    unnamed = [one for one in history if one.customer_id is None]
    assert unnamed
    assert all(one.at < linked[str(one.anonymous_id)] for one in unnamed)


def test_an_order_costs_what_is_in_it_less_the_discount(history: list[Happening]) -> None:
    for one in history:
        if one.type == ORDER:
            full = sum(line["quantity"] * Decimal(line["unit_price"]) for line in one.data["items"])
            assert Decimal(one.data["total"]) == full - Decimal(one.data.get("discount", 0))


def test_what_went_back_was_bought_before(history: list[Happening]) -> None:
    orders: dict[str, Happening] = {}
    for one in history:
        if one.type == ORDER:
            orders[one.data["order_id"]] = one
        elif one.type in {"order.refunded", "order.cancelled"}:
            order = orders[one.data["order_id"]]
            assert order.person == one.person
            assert Decimal(one.data.get("amount", 0)) <= Decimal(order.data["total"])


def test_nobody_real_is_written_to(history: list[Happening]) -> None:
    addresses = [one.data["email"] for one in history if "email" in one.data]
    assert len(set(addresses)) == CUSTOMERS
    assert all(address.endswith("@customer.example") for address in addresses)


def test_what_is_hidden_stays_hidden(history: list[Happening]) -> None:
    (person, *_) = draw_people(7, 1, STARTS_AT, shop().ends_at)
    told = json.dumps([one.payload() for one in history])
    for hidden in (person.drop_probability, person.interval_days, person.responds):
        assert str(hidden) not in told


def intervened(channel: str, number: int, at: int = 3_000) -> tuple[SimulatedShop, list[Happening]]:
    """The rest of the history after everybody was contacted at the `at`-th event."""
    made = shop()
    happenings = made.happenings()
    before = list(islice(happenings, at))
    for person in range(1, CUSTOMERS + 1):
        for again in ("", "-again"):
            made.react(
                Intervention(
                    id=f"iv-{person}-{number}{again}",
                    customer_id=f"c-{person:05d}",
                    channel=channel,
                    at=before[-1].at,
                    message_id=f"m-{person}{again}" if channel == "email" else None,
                )
            )
    return made, [*before, *happenings]


@pytest.mark.parametrize("channel", ["email", "task"])
def test_some_customers_answer_an_intervention_and_nothing_else_changes(
    history: list[Happening], channel: str
) -> None:
    made, whole = intervened(channel, 1)
    assert all(earlier.at <= later.at for earlier, later in pairwise(whole))
    known = {one.id for one in history}
    answers = [one for one in whole if one.id not in known]
    assert [one for one in whole if one.id in known] == history
    assert len({one.id for one in whole}) == len(whole)
    orders = [one.data["order_id"] for one in whole if one.type == ORDER]
    assert len(set(orders)) == len(orders)
    assert 0.05 < made.reactions / (2 * CUSTOMERS) < 0.4
    assert sum(one.type == ORDER for one in answers) >= made.reactions
    assert any(one.type == "message.opened" for one in answers) == (channel == "email")


def test_an_answer_comes_after_the_message() -> None:
    made = shop()
    happenings = made.happenings()
    now = list(islice(happenings, 2_000))[-1].at
    made.react(Intervention("iv-late", "c-00001", "email", now - timedelta(days=9), "m-1"))
    answers = [one for one in happenings if "iv-late" in one.id]
    assert answers
    assert all(one.at > now for one in answers)
    assert answers[0].type == "message.delivered"


def test_the_same_intervention_is_answered_the_same_way() -> None:
    assert intervened("email", 2)[1] == intervened("email", 2)[1]


def test_an_intervention_for_a_stranger_or_on_an_unheard_channel_is_left_alone(
    history: list[Happening],
) -> None:
    made = shop()
    happenings = made.happenings()
    first = next(happenings)
    heard = Intervention("iv-1", "c-00001", "webhook", first.at)
    made.react(heard)
    made.react(replace(heard, customer_id="nobody", channel="task"))
    assert [first, *happenings] == history


@pytest.mark.parametrize("orders", [1, 25])
def test_a_limit_counts_orders(history: list[Happening], orders: int) -> None:
    sent = list(until_order(iter(history), orders))
    assert sum(one.type == ORDER for one in sent) == orders
    assert sent[-1].type == ORDER
    assert list(until_order(iter(history), None)) == history
