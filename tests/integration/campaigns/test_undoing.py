"""Two ids that were one person by mistake: undone, each has its own again and nothing else."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from email.message import EmailMessage
from typing import Any

import pytest

from services.campaigns.main import build
from shared.events.campaigns import InterventionConverted, InterventionSuppressed, JourneyLeft
from shared.events.commerce import OrderCompleted
from shared.events.engagement import (
    CustomerErased,
    CustomerMerged,
    CustomerUnmerged,
    CustomerUpdated,
    MessageBounced,
    MessageComplained,
    MessageUnsubscribed,
)
from shared.events.envelope import Event
from shared.testing.builders import NOON, event
from shared.testing.harness import Running, in_batches, running
from tests.integration.campaigns.conftest import crossed, decisions, get, joined, put

DAY = timedelta(days=1)
Outbox = Callable[[], list[EmailMessage]]
TABLES = ("traits", "consents", "orders")


def merged(at: timedelta = timedelta()) -> CustomerMerged:
    return event(CustomerMerged, customer="b", at=NOON + at, survivor_id="a")


def parted() -> CustomerUnmerged:
    return event(CustomerUnmerged, customer="b", at=NOON + 9 * DAY, survivor_id="a")


def own() -> list[Event]:
    """What each told before anybody took them for one."""
    return [
        joined("a", at=NOON - 2 * DAY, country="GB"),
        joined("b", at=NOON - 2 * DAY, name="Bob"),
        event(OrderCompleted, customer="a", at=NOON - DAY, order_id="o-a"),
    ]


def of_b() -> list[Event]:
    """What b did while it passed for a."""
    told: dict[str, Any] = {"customer": "a", "alias": "b"}
    return [
        joined(**told, at=NOON + DAY, consent=False, email="bob@example.com", name="Bobby"),
        event(OrderCompleted, **told, at=NOON + 2 * DAY, order_id="o-b", total="77"),
        event(MessageComplained, **told, at=NOON + 3 * DAY, message_id="m-1", channel="sms"),
        event(MessageUnsubscribed, **told, at=NOON + 3 * DAY, message_id="m-2", channel="push"),
        event(MessageBounced, **told, at=NOON + 4 * DAY, message_id="m-3", channel="email"),
    ]


def by_itself(one: Event) -> Event:
    """As if nobody had ever taken b for a."""
    return one.model_copy(update={"subject": one.alias, "alias": None})


def orders_of_partitions() -> dict[str, list[Event]]:
    """Merges travel with b, what b did with a: either may be ahead, by any distance."""
    return {
        "in order": [merged(), *of_b(), parted()],
        "the merge is late": [*of_b(), merged(), parted()],
        "the events are late": [merged(), parted(), *of_b()],
        "the merge comes in between": [*of_b()[:2], merged(), *of_b()[2:], parted()],
        "the undo comes in between": [merged(), *of_b()[:2], parted(), *of_b()[2:]],
    }


async def rows(service: Running) -> dict[str, list[tuple[Any, ...]]]:
    async with service.context.read() as session:
        return {
            table: [
                tuple(row)
                for row in await session.driver.fetch(f"TABLE {table} ORDER BY 1, 2, 3, 4")
            ]
            for table in TABLES
        }


def named(told: Sequence[Event]) -> list[Event]:
    """With ids of their own, so that two runs can be compared."""
    return [
        one.model_copy(update={"id": f"{one.type} {one.alias or one.subject} {one.time}"})
        for one in told
    ]


async def kept(url: str, told: Sequence[Event], size: int) -> tuple[Any, list[Any]]:
    """What is stored in the end, and what is said of each."""
    async with running(build, url) as service:
        await service.feed(*named(own()))
        for batch in in_batches(named(told), size):
            await service.feed(*batch)
        assert service.dead() == []
        paths = [f"/v1/customers/{one}/{what}" for one in "ab" for what in ("profile", "consent")]
        return await rows(service), [await get(service, path) for path in paths]


@pytest.mark.parametrize("order", orders_of_partitions())
async def test_an_undone_merge_leaves_each_its_own_in_any_order_of_partitions(
    make_database: Callable[..., str], order: str
) -> None:
    expected = await kept(make_database(), [by_itself(one) for one in of_b()], 1)
    told = orders_of_partitions()[order]
    for size in (1, len(told)):
        assert await kept(make_database(), told, size) == expected
    _, (of_a, consent_of_a, profile_of_b, consent_of_b) = expected
    assert (of_a["ids"], of_a["traits"]["email"]) == (["a"], "a@example.com")
    assert consent_of_a["permissions"][0]["granted"]
    assert profile_of_b["problems"] == {"email": "messages to it come back"}
    assert not any(one["granted"] for one in consent_of_b["permissions"])


async def test_while_they_are_one_the_no_of_either_holds_for_both_also_before_the_merge_is_heard(
    campaigns: Running, outbox: Outbox
) -> None:
    await campaigns.feed(*own()[:2])
    await campaigns.feed(crossed("a"))
    await campaigns.feed(*of_b()[:1])
    profile = await get(campaigns, "/v1/customers/a/profile")
    assert (profile["ids"], profile["traits"]["email"]) == (["a", "b"], "bob@example.com")
    await campaigns.run_job("send_due")
    assert outbox() == []
    assert ("dropped", "consent") in await decisions(campaigns, "a")


async def test_an_order_under_another_id_ends_the_journey_and_counts_once(
    campaigns: Running, outbox: Outbox
) -> None:
    await campaigns.feed(*own()[:2])
    await campaigns.feed(crossed("a"))
    await campaigns.run_job("send_due")
    assert len(outbox()) == 1
    order = of_b()[1]
    await campaigns.feed(order, merged(), order.model_copy(update={"id": "told-again"}))
    assert [one.subject for one in campaigns.published(JourneyLeft)] == ["a"]
    assert [one.cause for one in campaigns.published(InterventionConverted)] == [order.id]


async def test_a_late_event_does_not_join_again_what_was_parted(campaigns: Running) -> None:
    await campaigns.feed(*own(), crossed("a"))
    await campaigns.feed(merged(), parted())
    await campaigns.feed(*of_b())
    assert (await get(campaigns, "/v1/customers/a/profile"))["ids"] == ["a"]
    assert campaigns.published(JourneyLeft, InterventionSuppressed) == []


async def test_the_first_word_of_a_merge_takes_the_place_of_what_was_presumed(
    campaigns: Running,
) -> None:
    """A visitor of b, whom an alias made one with a: the visitor goes with b, wherever b goes."""
    await campaigns.feed(event(CustomerUpdated, customer="a", alias="v", at=NOON, name="Vic"))
    await campaigns.feed(merged())
    await campaigns.feed(event(CustomerMerged, customer="v", survivor_id="b"))
    assert (await get(campaigns, "/v1/customers/a/profile"))["ids"] == ["a", "b", "v"]
    await campaigns.feed(parted())
    assert (await get(campaigns, "/v1/customers/b/profile"))["ids"] == ["b", "v"]
    assert (await get(campaigns, "/v1/customers/a/profile"))["traits"] == {}


async def withdrawn(service: Running, outbox: Outbox, word: str = "One-Click") -> None:
    (message,) = outbox()
    link = str(message["List-Unsubscribe"]).strip("<>").removeprefix("http://127.0.0.1:8003")
    reply = await service.client.post(link, data={"List-Unsubscribe": word})
    assert reply.status_code == 200


async def permitted(service: Running, customer: str) -> bool:
    consent = await get(service, f"/v1/customers/{customer}/consent")
    return any(one["granted"] for one in consent["permissions"])


async def test_who_answers_a_message_is_whose_address_it_went_to(
    campaigns: Running, outbox: Outbox
) -> None:
    await campaigns.feed(joined("a", at=NOON - DAY), joined("b", at=NOON), merged())
    await campaigns.feed(crossed("a"))
    await campaigns.run_job("send_due")
    assert [one["To"] for one in outbox()] == ["b@example.com"]
    await withdrawn(campaigns, outbox)
    assert not await permitted(campaigns, "a")
    await campaigns.feed(parted())
    assert (await permitted(campaigns, "a"), await permitted(campaigns, "b")) == (True, False)
    await withdrawn(campaigns, outbox, "undo")
    assert await permitted(campaigns, "b")


async def test_erasing_the_one_whose_address_was_used_forgets_the_copy_of_the_mail(
    campaigns: Running, outbox: Outbox
) -> None:
    await campaigns.feed(joined("a", at=NOON - DAY), joined("b", at=NOON), merged())
    await campaigns.feed(crossed("a"))
    await campaigns.run_job("send_due")
    await campaigns.feed(parted())
    await campaigns.feed(event(CustomerErased, customer="b", at=NOON + 10 * DAY))
    await withdrawn(campaigns, outbox)
    await campaigns.run_job("forget_mail")
    assert outbox() == []
    assert await permitted(campaigns, "a")
    async with campaigns.context.read() as session:
        (one,) = await session.driver.fetch("SELECT customer_id, addressee_id FROM interventions")
    assert one["customer_id"] == "a"
    assert one["addressee_id"].startswith("erased:")


async def test_an_operator_s_address_is_of_the_id_that_it_was_given_for(
    campaigns: Running,
) -> None:
    await campaigns.feed(*own()[:2], merged())
    campaigns.clock.advance(DAY)
    await put(campaigns, "/v1/customers/b/profile", {"email": "new@example.com"})
    assert (await get(campaigns, "/v1/customers/a/profile"))["traits"]["email"] == "new@example.com"
    await campaigns.feed(parted())
    assert (await get(campaigns, "/v1/customers/a/profile"))["traits"]["email"] == "a@example.com"
