"""Who leads without being answered stops before somebody else may lead."""

import asyncio
from typing import Any

import pytest

from shared.clock import monotonic_seconds
from shared.runtime.outbox import hold
from tests.integration.runtime.counting import CountingSettings


class BlackHole:
    """A connection over which nothing comes back."""

    async def execute(self, _query: str, *, timeout: float | None = None) -> str:
        async with asyncio.timeout(timeout):
            await asyncio.Event().wait()
        return "never"


async def test_work_ends_before_the_server_gives_the_lock_away() -> None:
    ended: list[float] = []
    began = monotonic_seconds()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(monotonic_seconds() - began)

    connection: Any = BlackHole()
    async with asyncio.timeout(20):
        with pytest.raises(TimeoutError):
            await hold(connection, work())
    assert ended[0] < CountingSettings().leader_idle_seconds
