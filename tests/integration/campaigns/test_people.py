"""Consent, profile, merging and erasing; borders of batches; the other routes."""

import asyncio
import hashlib
import json
from collections.abc import Callable
from datetime import timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import MetaData

from services.campaigns import tables
from services.campaigns.main import build
from shared.clock import EventClock
from shared.events.campaigns import (
    CAMPAIGNS,
    InterventionApproved,
    InterventionDismissed,
    InterventionSent,
    JourneyEntered,
)
from shared.events.commerce import OrderCompleted
from shared.events.engagement import (
    CustomerErased,
    CustomerMerged,
    CustomerUnmerged,
    CustomerUpdated,
)
from shared.events.loyalty import TierChanged
from shared.runtime.tables import METADATA as RUNTIME
from shared.testing.builders import NOON, event
from shared.testing.harness import Running, in_batches, running
from tests.integration.campaigns.conftest import Start, crossed, decisions, get, joined, put

DAY = timedelta(days=1)
Outbox = Callable[[], list[EmailMessage]]


async def test_an_absent_trait_is_left_as_it_is_and_an_older_one_changes_nothing(
    campaigns: Running,
) -> None:
    await campaigns.feed(joined(name="Ann", country="GB"))
    await campaigns.feed(event(CustomerUpdated, at=NOON + DAY, name="Anna", custom={"vip": True}))
    await campaigns.feed(event(CustomerUpdated, at=NOON - DAY, name="Anne"))
    profile = await get(campaigns, "/v1/customers/c-1/profile")
    assert profile["traits"]["name"] == "Anna"
    assert profile["traits"]["country"] == "GB"
    assert profile["custom"] == {"vip": True}


async def test_what_cannot_be_used_is_kept_apart_with_the_reason(campaigns: Running) -> None:
    await campaigns.feed(joined(email="not an address", timezone="Mars/Olympus"))
    profile = await get(campaigns, "/v1/customers/c-1/profile")
    assert profile["problems"] == {
        "email": "not an e-mail address",
        "timezone": "not a known IANA time zone",
    }
    await campaigns.feed(crossed())
    await campaigns.run_job("send_due")
    assert ("dropped", "address") in await decisions(campaigns)


async def test_an_operator_sets_traits_and_is_told_what_is_wrong(campaigns: Running) -> None:
    path = "/v1/customers/c-1/profile"
    problem = await put(campaigns, path, {"email": "nobody"}, 422)
    assert problem["errors"] == [{"path": "email", "message": "not an e-mail address"}]
    await put(campaigns, path, {"email": "Ann@Example.com", "name": "Ann"})
    profile = await put(campaigns, path, {"name": None})
    assert profile["traits"] == {"email": "Ann@example.com"}
    await put(campaigns, path, {"shoe_size": 38}, 422)


async def test_an_operator_s_consent_counts_and_says_where_it_came_from(campaigns: Running) -> None:
    path = "/v1/customers/c-1/consent"
    await campaigns.feed(joined(consent=False))
    campaigns.clock.advance(DAY)
    body = {"consent": {"email": {"retention": True}}, "source": "by phone"}
    (permission,) = (await put(campaigns, path, body))["permissions"]
    assert permission["granted"]
    assert "by phone" in permission["reason"]


async def test_a_merge_combines_what_is_known_and_an_unmerge_takes_it_apart(
    campaigns: Running,
) -> None:
    await campaigns.feed(joined("c-1", at=NOON, name="Ann", country="GB"))
    await campaigns.feed(joined("c-2", at=NOON + DAY, consent=False, name="Anna"))
    await campaigns.feed(event(CustomerMerged, customer="c-2", survivor_id="c-1"))
    for name in ("c-1", "c-2"):
        profile = await get(campaigns, f"/v1/customers/{name}/profile")
        assert profile["ids"] == ["c-1", "c-2"]
        assert (profile["customer_id"], profile["traits"]["name"]) == ("c-1", "Anna")
        assert profile["traits"]["country"] == "GB"
    consent = await get(campaigns, "/v1/customers/c-1/consent")
    assert not consent["permissions"][0]["granted"]
    await campaigns.feed(event(CustomerUnmerged, customer="c-2", survivor_id="c-1"))
    assert (await get(campaigns, "/v1/customers/c-1/profile"))["traits"]["name"] == "Ann"
    assert (await get(campaigns, "/v1/customers/c-1/consent"))["permissions"][0]["granted"]


async def test_a_merged_person_does_not_enter_twice(campaigns: Running) -> None:
    await campaigns.feed(joined("c-1"), joined("c-2"))
    await campaigns.feed(crossed("c-2"))
    await campaigns.feed(event(CustomerMerged, customer="c-2", survivor_id="c-1"))
    await campaigns.feed(crossed("c-1"))
    assert len(campaigns.published(JourneyEntered)) == 1


async def rows_with(service: Running, text: str) -> list[str]:
    """The tables of the service in which a text occurs anywhere."""
    found = []
    async with service.context.read() as session:
        for table in tables.METADATA.sorted_tables:
            seen = await session.driver.fetchval(
                f'SELECT count(*) FROM "{table.name}" AS row WHERE row::text LIKE $1', f"%{text}%"
            )
            found += [table.name] if seen else []
    return found


@pytest.mark.parametrize("merged", ["before", "after", "never"])
async def test_an_erased_person_is_nowhere_and_what_was_counted_stays(
    campaigns: Running, outbox: Outbox, tmp_path: Path, merged: str
) -> None:
    name = "canary-77"
    link = event(CustomerMerged, customer="canary-77-old", survivor_id=name)
    await campaigns.feed(joined(name, name="Canaria", account_manager="Canary-77-manager"))
    await campaigns.feed(joined("canary-77-old", name="Canaria"))
    await campaigns.feed(crossed(name))
    await campaigns.feed(event(OrderCompleted, customer=name, at=NOON - DAY))
    await campaigns.run_job("send_due")
    assert len(outbox()) == 1
    if merged == "before":
        await campaigns.feed(link)
    await campaigns.feed(event(CustomerErased, customer=name, at=NOON + DAY))
    if merged == "after":
        await campaigns.feed(link)
    elif merged == "never":
        await campaigns.feed(event(CustomerErased, customer="canary-77-old", at=NOON + DAY))
    await campaigns.feed(joined(name, name="Canaria"))
    await campaigns.feed(crossed(name))
    await campaigns.run_job("forget_mail")
    assert await rows_with(campaigns, "anary") == []
    assert outbox() == []
    async with campaigns.context.read() as session:
        assert await session.driver.fetchval("SELECT count(*) FROM interventions") == 1
        digest = hashlib.sha256(name.encode()).digest()
        assert await session.driver.fetchval(
            "SELECT count(*) FROM erased WHERE customer_digest = $1", digest
        )


async def test_a_message_on_its_way_while_its_person_is_erased_tells_nobody(
    campaigns: Running,
) -> None:
    await campaigns.feed(joined())
    await campaigns.feed(crossed())
    campaigns.failpoints.arm("effect.before_call", "sleep", 0.5)
    sending = asyncio.create_task(campaigns.run_job("send_due"))
    async with campaigns.context.read() as session:
        while not await session.driver.fetchval(
            "SELECT count(*) FROM interventions WHERE state = 'sending'"
        ):
            await asyncio.sleep(0.005)
    await campaigns.feed(event(CustomerErased))
    await sending
    assert campaigns.published(InterventionSent) == []


async def test_the_loyalty_tier_is_known(campaigns: Running) -> None:
    changed = event(
        TierChanged, previous=None, current="gold", qualifying_points=5_000, reason="test"
    )
    await campaigns.feed(changed)
    profile = await get(campaigns, "/v1/customers/c-1/profile")
    assert profile["traits"]["loyalty_tier"] == "gold"


async def needing_approval(service: Running) -> str:
    async with service.context.transaction() as tx:
        await tx.driver.execute("UPDATE interventions SET state = 'awaiting'")
    (one,) = (await get(service, "/v1/interventions?state=awaiting"))["items"]
    return str(one["intervention_id"])


async def post(service: Running, path: str) -> int:
    reply = await service.client.post(path, headers=service.key("operate"))
    return reply.status_code


async def test_what_needs_approval_waits_for_it(campaigns: Running, outbox: Outbox) -> None:
    await campaigns.feed(joined())
    await campaigns.feed(crossed())
    name = await needing_approval(campaigns)
    await campaigns.run_job("send_due")
    assert outbox() == []
    for _ in range(2):
        assert await post(campaigns, f"/v1/interventions/{name}/approve") == 200
    await campaigns.run_job("send_due")
    assert len(outbox()) == 1
    assert len(campaigns.published(InterventionApproved)) == 1
    assert await post(campaigns, f"/v1/interventions/{name}/dismiss") == 409


async def test_what_is_dismissed_is_not_sent(campaigns: Running, outbox: Outbox) -> None:
    await campaigns.feed(joined())
    await campaigns.feed(crossed())
    (one,) = (await get(campaigns, "/v1/interventions?customer_id=c-1"))["items"]
    for _ in range(2):
        assert await post(campaigns, f"/v1/interventions/{one['intervention_id']}/dismiss") == 200
    await campaigns.run_job("send_due")
    assert outbox() == []
    assert len(campaigns.published(InterventionDismissed)) == 1
    assert await post(campaigns, "/v1/interventions/nobody/approve") == 404
    found = await get(campaigns, f"/v1/interventions/{one['intervention_id']}")
    assert (found["state"], found["rule"]) == ("dismissed", "person")


async def test_lists_come_in_pages_without_gaps(campaigns: Running) -> None:
    names = [f"c-{number}" for number in range(7)]
    await campaigns.feed(*(joined(name) for name in names))
    await campaigns.feed(*(crossed(name) for name in names))
    seen, cursor = [], ""
    while True:
        page = await get(campaigns, f"/v1/interventions?limit=3{cursor}")
        seen += [one["customer_id"] for one in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert sorted(seen) == names
    reply = await campaigns.client.get(
        "/v1/interventions?cursor=zzz", headers=campaigns.key("read")
    )
    assert reply.status_code == 422


async def test_the_shipped_content_can_be_read_and_previewed(campaigns: Running) -> None:
    await campaigns.feed(joined(name="<Ann>"))
    (journey,) = (await get(campaigns, "/v1/journeys"))["items"]
    assert (journey["journey"], journey["live_version"], journey["inside"]) == ("win-back", 1, 0)
    assert (await get(campaigns, "/v1/journeys/win-back"))["definition"]["start"] == "worth"
    assert len((await get(campaigns, "/v1/journeys/win-back/versions"))["items"]) == 1
    assert (await get(campaigns, "/v1/offers"))["items"][0]["code"] == "COMEBACK10"
    (template,) = (await get(campaigns, "/v1/templates"))["items"]
    assert template["variables"] == ["customer", "offer", "shop", "unsubscribe_url"]
    reply = await campaigns.client.post(
        "/v1/templates/win-back/preview",
        json={"customer_id": "c-1", "offer": "win-back-10"},
        headers=campaigns.key("read"),
    )
    assert "&lt;Ann&gt;" in reply.json()["html"]
    without = await campaigns.client.post(
        "/v1/templates/win-back/preview", json={"offer": "none"}, headers=campaigns.key("read")
    )
    assert without.status_code == 422


async def test_the_policy_is_replaced_as_a_whole_and_nonsense_is_refused(
    campaigns: Running,
) -> None:
    assert (await get(campaigns, "/v1/policy"))["changed_at"] is None
    chosen = {"timezone": "Europe/Berlin", "caps": [{"messages": 1, "days": 7}]}
    await put(campaigns, "/v1/policy", chosen)
    policy = (await get(campaigns, "/v1/policy"))["policy"]
    assert policy["timezone"] == "Europe/Berlin"
    assert policy["quiet_hours"] == {}
    await put(campaigns, "/v1/policy", {"timezone": "Mars/Olympus"}, 422)
    night = {"start": "08:00", "end": "08:00"}
    await put(campaigns, "/v1/policy", {"quiet_hours": {"email": night}}, 422)


async def test_starting_again_seeds_nothing_twice_and_keeps_the_secret(start: Start) -> None:
    async with start(consume=False) as first:
        secret = first.context.resources.signing_secret
    async with start(consume=False) as second:
        assert second.context.resources.signing_secret == secret
        assert len((await get(second, "/v1/journeys/win-back/versions"))["items"]) == 1


async def test_the_migrations_make_the_tables_that_the_code_knows(campaigns: Running) -> None:
    both = MetaData()
    for table in (*tables.METADATA.sorted_tables, *RUNTIME.sorted_tables):
        table.to_metadata(both)

    def differences(connection: Any) -> list[Any]:
        context = MigrationContext.configure(
            connection,
            opts={
                "compare_type": True,
                "include_name": lambda name, kind, _: (
                    kind != "table" or "version" not in (name or "") or name == "journey_versions"
                ),
            },
        )
        return list(compare_metadata(context, both))

    async with campaigns.context.transaction() as tx:
        assert await tx.connection.run_sync(differences) == []


HISTORY = [
    *(joined(f"c-{number}", consent=number % 3 > 0) for number in range(12)),
    *(
        crossed(
            f"c-{number % 12}",
            at=NOON + timedelta(hours=number * 5),
            clv_predicted_12m=str(300 * (number % 5)),
            direction="up" if number % 4 else "down",
        )
        for number in range(36)
    ),
]
ORDERS = [
    event(
        OrderCompleted,
        customer=f"c-{number}",
        at=NOON + timedelta(days=4 + number),
        order_id=f"o-{number}",
    )
    for number in range(0, 12, 2)
]


async def outcome(url: str, folder: Path, size: int) -> tuple[list[bytes], list[dict[str, Any]]]:
    """Everything told and decided when the history comes in batches of a size."""
    settings = {"data_dir": folder}
    async with running(build, url, clock=EventClock(NOON), settings=settings) as campaigns:
        for batch in (*in_batches(HISTORY, size), *in_batches(ORDERS, size)):
            await campaigns.feed(*batch)
        await campaigns.run_job("send_due")
        told = sorted(one.to_json() for one in campaigns.published(*CAMPAIGNS))
        async with campaigns.context.read() as session:
            rows = await session.driver.fetch("SELECT * FROM decisions ORDER BY decision_id")
    return told, [dict(row) for row in rows]


async def test_the_result_does_not_depend_on_the_borders_of_batches(
    make_database: Callable[..., str], tmp_path: Path
) -> None:
    told, decided = await outcome(make_database(), tmp_path / "whole", 1_000)
    kinds = {json.loads(one)["type"] for one in told}
    assert kinds >= {"intervention.sent", "intervention.suppressed", "task.created", "journey.left"}
    for size in (1, 7):
        assert await outcome(make_database(), tmp_path / str(size), size) == (told, decided)
