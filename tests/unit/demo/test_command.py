"""The demo's loop runs beside the main thread, which signals may interrupt."""

import asyncio
import os
import signal
import threading
from collections.abc import Iterator

import pytest

from stack.demo.command import in_thread
from stack.errors import StackError


def test_what_fails_in_the_loop_fails_here_and_of_a_group_what_tells_most() -> None:
    async def fail(error: Exception) -> None:
        raise error

    async def fail_together() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail(ValueError("noise")))
            group.create_task(fail(StackError("The key is wrong.", "Use another.")))

    with pytest.raises(StackError, match="The key is wrong"):
        in_thread(fail_together)
    with pytest.raises(ValueError, match="alone"):
        in_thread(lambda: fail(ValueError("alone")))


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Whoever started the tests in the background of a shell told them to ignore SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interruption_ends_the_loop_in_good_order() -> None:
    entered, ended = threading.Event(), threading.Event()

    async def stay() -> None:
        try:
            entered.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.set()

    def interrupt() -> None:
        entered.wait(10)
        os.kill(os.getpid(), signal.SIGINT)

    person = threading.Thread(target=interrupt)
    person.start()
    with pytest.raises(KeyboardInterrupt):
        in_thread(stay)
    person.join()
    assert ended.is_set()
