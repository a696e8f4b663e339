"""What a message that came back says: something of an address, nothing of the person."""

from datetime import timedelta
from typing import Any

from services.campaigns.main import build
from shared.clock import EventClock
from shared.events.engagement import MessageBounced
from shared.testing.builders import NOON, event
from shared.testing.harness import Running, in_batches, running
from tests.integration.campaigns.conftest import crossed, decisions, get, joined, put

DAY = timedelta(days=1)


def bounced(days: float, reason: str | None = None) -> MessageBounced:
    return event(
        MessageBounced, at=NOON + days * DAY, message_id="m-1", channel="email", reason=reason
    )


async def test_a_bounce_is_about_the_address_and_not_about_what_the_person_wants(
    campaigns: Running,
) -> None:
    await campaigns.feed(joined(email="old@example.com"))
    await campaigns.feed(bounced(1, "550 5.1.1 mailbox unknown"))
    profile = await get(campaigns, "/v1/customers/c-1/profile")
    assert profile["problems"] == {"email": "messages to it come back"}
    assert "email" not in profile["traits"]
    (permission,) = (await get(campaigns, "/v1/customers/c-1/consent"))["permissions"]
    assert permission["granted"]
    await campaigns.feed(joined(at=NOON + 2 * DAY, email="old@example.com"))
    await campaigns.feed(crossed(at=NOON + 2 * DAY))
    await campaigns.run_job("send_due")
    assert ("dropped", "address") in await decisions(campaigns)
    await campaigns.feed(joined(at=NOON + 3 * DAY, email="new@example.com"))
    profile = await get(campaigns, "/v1/customers/c-1/profile")
    assert (profile["problems"], profile["traits"]["email"]) == ({}, "new@example.com")


async def test_a_mailbox_that_is_full_is_no_reason_and_an_operator_may_insist(
    campaigns: Running,
) -> None:
    path = "/v1/customers/c-1/profile"
    await campaigns.feed(joined())
    await campaigns.feed(bounced(1, "452 4.2.2 mailbox full"))
    assert (await get(campaigns, path))["problems"] == {}
    await campaigns.feed(bounced(2))
    assert (await get(campaigns, path))["problems"] == {"email": "messages to it come back"}
    campaigns.clock.advance(3 * DAY)
    assert (await put(campaigns, path, {"email": "c-1@example.com"}))["problems"] == {}


async def test_which_address_bounced_does_not_depend_on_where_batches_end(
    make_database: Any,
) -> None:
    events = [
        joined(at=NOON, email="a@example.com"),
        bounced(1),
        joined(at=NOON + 2 * DAY, email="b@example.com"),
        bounced(1.5),
        joined(at=NOON + 3 * DAY, email="a@example.com"),
        joined("c-2", at=NOON, email="c@example.com"),
    ]
    found = []
    for size in (1, 4, 6):
        async with running(build, make_database(), clock=EventClock(NOON)) as service:
            for batch in in_batches(events, size):
                await service.feed(*batch)
            async with service.context.read() as session:
                rows = await session.driver.fetch("SELECT * FROM traits ORDER BY 1, 2")
            found.append([tuple(row) for row in rows])
    assert found[0] == found[1] == found[2]
    assert [row[1] for row in found[0] if row[1].startswith("bounced")] == ["bounced.a@example.com"]
