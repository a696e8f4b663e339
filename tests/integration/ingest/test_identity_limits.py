"""What goes on linking is a till or a test account: how much of it is linked, and listed."""

from datetime import timedelta

from services.ingest.handlers import admit
from services.ingest.handlers.opening import open_bundle
from services.ingest.main import build
from services.ingest.store import conflicts
from shared.clock import ManualClock
from shared.testing.builders import NOON
from shared.testing.harness import running
from tests.integration.ingest.deciding import ask, do, person
from tests.integration.ingest.posting import record_of, seen, tell, visit


async def test_a_visitor_of_a_third_person_is_counted_with_whom_it_comes_to(
    database_url: str,
) -> None:
    async with running(build, database_url, settings={"identity_links_max": 1}) as service:
        await tell(service, seen("v", "p"), seen("w", "c"))
        preview = await ask(service, "/customers/c/merge-preview", previous_id="v")
        refused = await do(service, "/customers/c/aliases", 409, previous_id="v")

    assert (preview["ids_count"], preview["denied"]) == (3, "too_many_ids")
    assert refused["reason"] == "too_many_ids"


async def test_of_a_till_only_so_many_conflicts_are_kept(database_url: str) -> None:
    limits = {"identity_conflicts_per_id_max": 3}
    async with running(build, database_url, settings=limits) as service:
        await tell(service, visit(customer_id="till"), seen("other"), visit(customer_id="other"))
        await tell(service, *(seen("till", f"c-{n}") for n in (0, 0, 1, 1, 0)))
        many = [seen("till", f"d-{n}", id=f"e-{n}") for n in range(5)]
        async with service.context.transaction() as tx:
            batch = open_bundle(record_of(*many, seen("other", "c")))
            await admit.admit(tx, [one.event for one in batch], now=NOON)
        await tell(service, seen("till", "c-5"))

        items = (await ask(service, "/identity-conflicts"))["items"]
        assert sorted((one["anonymous_id"], one["customer_id"]) for one in items) == [
            ("other", "c"),
            ("till", "c-0"),
            ("till", "c-1"),
            ("till", "d-0"),
        ]


async def test_a_visitor_told_backwards_moves_only_so_often_a_day(database_url: str) -> None:
    clock = ManualClock(NOON)
    limits = {"identity_moves_per_day_max": 2}
    async with running(build, database_url, clock=clock, settings=limits) as service:
        for hour in (9, 8, 7):
            at = NOON.replace(hour=hour).isoformat()
            await tell(service, seen("v", f"c-{hour}", occurred_at=at))
        (refused,) = (await ask(service, "/identity-conflicts", reason="too_many_moves"))["items"]
        assert (refused["customer_id"], refused["kept_id"]) == ("c-7", "c-8")
        clock.advance(timedelta(days=1))
        await tell(service, seen("v", "c-6", occurred_at=NOON.replace(hour=6).isoformat()))

        assert (await person(service, "v"))[0] == "c-6"


async def test_conflicts_of_one_reason_are_found_without_reading_the_others(
    database_url: str,
) -> None:
    async with running(build, database_url, consume=False) as service:
        async with service.context.transaction() as tx:
            await tx.driver.execute(
                "INSERT INTO identity_conflicts "
                "SELECT 'v', n::text, 'k', 'e', now() - n * interval '1 s', 'other_customer' "
                "FROM generate_series(1, 20000) AS n"
            )
            await tx.driver.execute("ANALYZE identity_conflicts")
        async with service.context.read() as session:
            plan = await session.driver.fetch(
                f"EXPLAIN {conflicts.PAGE_OF_REASON}", 50, None, None, None, "undone"
            )

    assert "identity_conflicts_by_reason" in str(plan)
