"""Customers who share a verified trait are one, where the shop wants it; the trait stays secret."""

import json
from typing import Any

import pytest

from services.ingest.domain.traits import digest_of
from services.ingest.handlers import admit
from services.ingest.handlers.opening import open_bundle
from services.ingest.main import build
from shared.clock import ManualClock
from shared.runtime.keyfile import load_key
from shared.testing.builders import NOON
from shared.testing.harness import Running, running
from tests.integration.ingest.deciding import ask, do, person, told
from tests.integration.ingest.posting import record_of, tell, visit

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
