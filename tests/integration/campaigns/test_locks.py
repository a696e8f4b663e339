"""The locks on persons: who is who is known as of the lock, not as of before it."""

import asyncio
from typing import Any

from services.campaigns.domain.person import Person
from services.campaigns.store import people
from shared.testing.harness import Running
from tests.integration.campaigns.conftest import joined

_WAITING = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND wait_event_type = 'Lock'
"""


async def merge(service: Running) -> None:
    async with service.context.transaction() as tx:
        await people.lock(tx.driver, ["c-1", "c-2"])
        await people.link(tx.driver, "c-2", "c-1")


async def test_who_is_merged_while_we_wait_for_the_lock_is_merged_once_we_have_it(
    campaigns: Running,
) -> None:
    await campaigns.feed(joined("c-1"), joined("c-2"))

    async def locked() -> Person:
        async with campaigns.context.transaction() as tx:
            return (await people.lock(tx.driver, ["c-1"]))["c-1"]

    async with campaigns.context.transaction() as tx:
        await people.lock(tx.driver, ["c-1", "c-2"])
        await people.link(tx.driver, "c-2", "c-1")
        waiting = asyncio.create_task(locked())
        async with asyncio.timeout(20), campaigns.context.read() as session:
            while not await session.driver.fetchval(_WAITING):
                await asyncio.sleep(0.005)
    assert (await waiting).ids == ("c-1", "c-2")


class Interrupted:
    """A driver that lets something happen after its first answer."""

    def __init__(self, driver: Any, happening: Any) -> None:
        self._driver = driver
        self._happening = happening

    async def fetch(self, *query: Any) -> Any:
        answer = await self._driver.fetch(*query)
        if self._happening is not None:
            happening, self._happening = self._happening, None
            await happening()
        return answer


async def test_who_is_merged_before_we_lock_is_left_for_the_next_round(campaigns: Running) -> None:
    await campaigns.feed(joined("c-1"), joined("c-2"), joined("c-3"))
    async with campaigns.context.transaction() as tx:
        driver: Any = Interrupted(tx.driver, lambda: merge(campaigns))
        assert set(await people.lock_free(driver, ["c-1", "c-3"])) == {"c-3"}
    async with campaigns.context.transaction() as tx:
        found = await people.lock_free(tx.driver, ["c-1", "c-3"])
        assert found["c-1"].ids == ("c-1", "c-2")
