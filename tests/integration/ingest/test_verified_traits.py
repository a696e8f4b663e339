"""Customers who share a verified trait are one, where the shop wants it; the trait stays secret."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest

from services.ingest.domain.traits import digest_of
from services.ingest.handlers import admit
from services.ingest.handlers.opening import open_bundle
from services.ingest.main import build
from shared.clock import ManualClock
from shared.events.engagement import CustomerMerged
from shared.runtime.keyfile import load_key
from shared.testing.builders import NOON
from shared.testing.harness import Running, running
from tests.integration.ingest.deciding import ask, do, person, told
from tests.integration.ingest.posting import record_of, seen, tell, visit

ANN = "ann@example.com"


def updated(customer: str, **given: Any) -> dict[str, Any]:
    traits = {name: given.pop(name) for name in ("email", "phone") if name in given}
    return {"type": "customer.updated", "customer_id": customer, "data": traits, **given}


@pytest.fixture
async def service(database_url: str) -> Any:
    async with running(build, database_url, clock=ManualClock(NOON)) as started:
        yield started


async def test_traits_join_nobody_and_leave_no_trace_unless_the_shop_verifies_them(
    service: Running,
) -> None:
    await tell(service, updated("a", email=ANN), updated("b", email=ANN))

    assert told(service) == []
    async with service.context.read() as session:
        assert await session.driver.fetchval("SELECT count(*) FROM identity_traits") == 0


@pytest.fixture
async def verified(database_url: str, tmp_path: Any) -> Any:
    settings = {"identity_traits": "email,phone", "TENURE_DATA_DIR": tmp_path}
    async with running(build, database_url, clock=ManualClock(NOON), settings=settings) as started:
        yield started


async def test_customers_who_share_a_verified_trait_are_one(verified: Running) -> None:
    await tell(
        verified,
        updated("b", email="Ann@Example.com"),
        updated("c", phone="+49 151 2345678"),
        updated("a", email=" ann@example.com", phone="0049 151 2345678"),
    )

    assert await person(verified, "c") == ("a", ["a", "b", "c"])
    reasons = {one["through"] for one in (await ask(verified, "/customers/a/merges"))["items"]}
    assert reasons == {"email", "phone"}


async def test_of_a_trait_only_a_digest_under_the_key_file_is_stored(verified: Running) -> None:
    await tell(verified, updated("a", email=ANN), updated("b", email=ANN))

    async with verified.context.read() as session:
        tables = await session.driver.fetch(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'ingest' "
            "AND table_name NOT IN ('outbox', 'inbox')"
        )
        stored = ""
        for (table,) in tables:
            stored += str(await session.driver.fetch(f'SELECT t::text FROM "{table}" AS t'))
        digests = await session.driver.fetch("SELECT DISTINCT digest FROM identity_traits")
    key = load_key(None, verified.context.settings.data_dir / "identity.key", "a test")
    assert [one["digest"] for one in digests] == [digest_of("email", "ann@example.com", key)]
    assert "ann" not in stored.lower()


async def test_a_trait_told_again_after_its_merge_was_undone_joins_nobody(
    verified: Running,
) -> None:
    await tell(verified, updated("a", email=ANN), updated("b", email=ANN))
    (merge,) = (await ask(verified, "/customers/b/merges"))["items"]

    await do(verified, f"/merges/{merge['id']}/undo")
    await tell(verified, updated("b", email=ANN), updated("c", email=ANN))

    assert await person(verified, "b") == ("b", ["b"])
    assert await person(verified, "c") == ("a", ["a", "c"])


async def test_a_trait_shared_by_more_than_may_be_one_joins_no_more(
    database_url: str, tmp_path: Any
) -> None:
    settings = {
        "identity_traits": "email",
        "identity_links_max": 2,
        "TENURE_DATA_DIR": tmp_path,
    }
    async with running(build, database_url, settings=settings) as service:
        await tell(service, *(updated(f"c-{n}", email="info@shop.example") for n in range(5)))

        assert await person(service, "c-0") == ("c-0", ["c-0", "c-1", "c-2"])
        refused = (await ask(service, "/identity-conflicts", reason="too_many_ids"))["items"]
        assert {one["anonymous_id"] for one in refused} == {"c-3", "c-4"}


async def test_a_trait_refused_for_the_day_joins_when_it_is_told_again(
    database_url: str, tmp_path: Any
) -> None:
    clock = ManualClock(NOON)
    settings = {
        "identity_traits": "email",
        "identity_merges_per_day_max": 1,
        "TENURE_DATA_DIR": tmp_path,
    }
    async with running(build, database_url, clock=clock, settings=settings) as service:
        await tell(service, *(updated(name, email=ANN) for name in "abc"))
        assert await person(service, "c") == ("c", ["c"])
        clock.advance(timedelta(days=1))
        await tell(service, updated("c", email=ANN))

        assert await person(service, "c") == ("a", ["a", "b", "c"])


async def test_the_ids_of_what_a_trait_leads_to_are_not_those_of_another_event(
    verified: Running,
) -> None:
    await tell(
        verified,
        updated("a", email=ANN),
        updated("b", email=ANN, id="x"),
        visit(customer_id="c", anonymous_id="v", id="x email"),
    )

    merged = verified.published(CustomerMerged)
    assert [one.subject for one in merged] == ["b", "v"]
    assert len({one.id for one in merged}) == 2


async def _statements(service: Running, *events: dict[str, Any]) -> int:
    """How many it takes to admit these in one batch."""
    asked: list[str] = []
    batch = [one.event for one in open_bundle(record_of(*events))]
    async with service.context.transaction() as tx:
        with tx.driver.query_logger(lambda query: asked.append(query.query)):
            await admit.admit(tx, batch, now=NOON)
    return len(asked)


async def test_traits_that_join_nobody_are_kept_with_a_few_statements(
    database_url: str, tmp_path: Any
) -> None:
    settings = {
        "identity_traits": "email",
        "identity_links_max": 3,
        "TENURE_DATA_DIR": tmp_path,
    }
    async with running(build, database_url, settings=settings, consume=False) as service:
        new = [updated(f"c-{n}", email=f"c-{n}@example.com", id=f"c-{n}") for n in range(200)]
        shared = [updated(f"d-{n:03}", email="info@shop.example", id=f"d-{n}") for n in range(200)]
        again = [updated(f"e-{n:03}", email="info@shop.example", id=f"e-{n}") for n in range(200)]

        assert await _statements(service, *new) < 20
        # Three join one by one, the fourth is refused, and then the others are.
        assert await _statements(service, *shared) < 100
        assert await _statements(service, *again) < 40

        assert await person(service, "d-001") == ("d-000", [f"d-00{n}" for n in range(4)])
        async with service.context.read() as session:
            kept = await session.driver.fetch(
                "SELECT in_force, count(*) FROM identity_traits GROUP BY in_force ORDER BY 1"
            )
            listed = await session.driver.fetchval("SELECT count(*) FROM identity_conflicts")
        assert [tuple(one) for one in kept] == [(False, 396), (True, 204)]
        assert listed == 396


async def test_events_that_come_one_by_one_in_a_transaction_never_wait_in_a_circle(
    verified: Running,
) -> None:
    """As those of a failing batch do, when a trait comes behind others."""

    async def one_by_one(prefix: str) -> None:
        events = [
            seen(f"{prefix}-v", f"{prefix}-c", id=f"{prefix}-1"),
            updated(f"{prefix}-c", email=f"{prefix}@example.com", id=f"{prefix}-2"),
        ]
        async with verified.context.transaction() as tx:
            for message in open_bundle(record_of(*events)):
                await admit.admit(tx, [message.event], now=NOON)

    await asyncio.gather(*(one_by_one(name) for name in "abcd"))

    assert await person(verified, "d-v") == ("d-c", ["d-c", "d-v"])


async def test_ingest_does_not_start_with_another_key_than_that_of_its_digests(
    database_url: str, tmp_path: Any
) -> None:
    settings = {"identity_traits": "email", "TENURE_DATA_DIR": tmp_path}
    for _ in range(2):
        async with running(build, database_url, settings=settings, consume=False):
            pass
    (tmp_path / "identity.key").unlink()

    with pytest.raises(ValueError, match=r"identity\.key: not the key"):
        async with running(build, database_url, settings=settings, consume=False):
            pass

    settings = {"TENURE_DATA_DIR": tmp_path}
    async with running(build, database_url, settings=settings, consume=False):
        pass  # without traits no key is asked for


@pytest.mark.parametrize("batch", [1, 2, 1_000])
async def test_with_traits_the_borders_of_batches_change_nothing(
    database_url: str, tmp_path: Any, batch: int
) -> None:
    settings = {"identity_traits": "email", "TENURE_DATA_DIR": tmp_path}
    async with running(build, database_url, settings=settings, consume=False) as service:
        events = [
            updated("b", email=ANN, id="e-1"),
            visit(customer_id="a", id="e-2"),
            updated("a", email=ANN, id="e-3"),
            visit(customer_id="b", id="e-4"),
            updated("c", email=ANN, id="e-5"),
            visit(customer_id="c", id="e-6"),
        ]
        rows = []
        for start in range(0, len(events), batch):
            part = [one.event for one in open_bundle(record_of(*events[start : start + batch]))]
            async with service.context.transaction() as tx:
                await admit.admit(tx, part, now=NOON)
                rows += [(row.key, json.loads(row.value or b"{}")["type"]) for row in tx.leaving]

    assert rows == [
        (b"b", "customer.updated"),
        (b"a", "page.viewed"),
        (b"a", "customer.updated"),
        (b"b", "customer.merged"),
        (b"a", "page.viewed"),
        (b"c", "customer.updated"),
        (b"c", "customer.merged"),
        (b"a", "page.viewed"),
    ]
