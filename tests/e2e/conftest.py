"""The whole platform for end-to-end tests, and what a shop does with it."""

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import httpx
import pytest

from stack.platform import Platform, PlatformOptions, running_platform
from stack.ports import free_base

LOOPBACK = {"WEBHOOKS_ALLOWED_NETWORKS": "127.0.0.0/8"}


@pytest.fixture(scope="package")
def platform() -> Iterator[Platform]:
    """Everything, by the wall clock, as `tenure up` starts it."""
    folder = Path(tempfile.mkdtemp(prefix="tenure-e2e-"))
    options = PlatformOptions(data_dir=folder, port_base=free_base(), environment=LOOPBACK)
    try:
        with running_platform(options) as running:
            yield running
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def bearer(platform: Platform, key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {platform.keys[key]}"}


async def eventually(
    question: Callable[[], Awaitable[httpx.Response]],
    good: Callable[[httpx.Response], bool],
    seconds: float,
) -> httpx.Response:
    """Asks until the answer is good; the last answer is told when it never is."""
    reply: httpx.Response | None = None
    try:
        async with asyncio.timeout(seconds):
            while True:
                reply = await question()
                if good(reply):
                    return reply
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"not within {seconds} s: {reply and reply.text[:500]}") from None
