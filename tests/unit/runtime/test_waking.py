"""A relay that waits to be woken can be stopped at any moment."""

import asyncio
from typing import Any

import pytest

from shared.runtime.failpoints import FailPoints
from shared.runtime.outbox import Relay


@pytest.mark.parametrize("turns", range(5))
async def test_a_cancellation_that_comes_with_the_waking_is_heard(turns: int) -> None:
    writer: Any = None
    relay = Relay(writer, 10, FailPoints({}))
    waits = 0

    async def lead() -> None:
        nonlocal waits
        while True:
            waits += 1
            relay._woken.clear()
            await relay.wait(60)

    leading = asyncio.create_task(lead())
    while not waits:
        await asyncio.sleep(0)
    await asyncio.sleep(0.01)
    relay.wake()
    for _ in range(turns):
        await asyncio.sleep(0)
    leading.cancel()
    ended, _ = await asyncio.wait({leading}, timeout=5)
    assert ended
    assert leading.cancelled()
