"""The counting service with one part taken out: what must be caught, in a process of its own.

A control that is a different program proves little of ours. These run our runtime with exactly one
thing missing, so that a test which passes for `ours` and fails for them is about that thing.
"""

import os
import signal
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from shared.runtime import consumer, inbox, outbox
from shared.runtime.decoding import decode_event
from shared.runtime.inbox import Driver, Message, Move
from shared.runtime.log import Record
from shared.runtime.outbox import Relay
from shared.runtime.service import Service
from tests.integration.runtime.counting import CountingSettings, build

# A file that does not exist yet: who decodes a record makes it, and freezes. Once, with a batch in
# hand, before its transaction begins.
FREEZE_ONCE = "TENURE_TEST_FREEZE_ONCE"

_MOVE = """
UPDATE consumed SET next_offset = moved.next_offset
FROM unnest($1::text[], $2::int[], $3::bigint[]) AS moved (topic, partition, next_offset)
WHERE consumed.topic = moved.topic AND consumed.partition = moved.partition
"""


def forgetful(settings: CountingSettings | None = None) -> Service:
    """No memory of ids: every record looks new. Only the check of the position is left."""
    service = build(settings)
    (one,) = service.subscriptions
    return replace(service, subscriptions=(replace(one, decode=_as_if_new),))


def _as_if_new(record: Record) -> Sequence[Message]:
    if os.environ.get(FREEZE_ONCE) and not Path(os.environ[FREEZE_ONCE]).exists():
        Path(os.environ[FREEZE_ONCE]).touch()
        signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
    return [replace(message, key=os.urandom(16)) for message in decode_event(record)]


async def _advance_unchecked(driver: Driver, moves: Sequence[Move]) -> None:
    await driver.execute(
        _MOVE,
        [move.partition.topic for move in moves],
        [move.partition.partition for move in moves],
        [move.next_offset for move in moves],
    )


def _without_check() -> None:
    inbox.advance = _advance_unchecked


def _without_halving() -> None:
    consumer.Consumer._apply_or_halve = consumer.Consumer._apply  # type: ignore[method-assign]


async def _drain_hastily(self: Relay, driver: Driver) -> int:
    """Deletes first, and writes what it has in hand then."""
    self._woken.clear()
    rows = await driver.fetch(outbox._NEXT, self._batch_records)
    if not rows:
        return 0
    await driver.execute(outbox._DELETE, [row["id"] for row in rows])
    await self._failpoints.reach("relay.before_write")
    await self._writer.write([outbox._outgoing(row) for row in rows])
    return len(rows)


async def _drain_by_page(self: Relay, driver: Driver) -> int:
    """Goes on after the highest id it has seen, and tidies up behind; ids commit out of order."""
    self._woken.clear()
    rows = await driver.fetch(
        "SELECT id, topic, key, value, headers FROM outbox WHERE id > $1 ORDER BY id", _page[-1]
    )
    await self._writer.write([outbox._outgoing(row) for row in rows])
    _page.extend(row["id"] for row in rows)
    await driver.execute("DELETE FROM outbox WHERE id <= $1", _page[-1])
    return len(rows)


_page = [0]


def _hasty_relay() -> None:
    Relay.drain = _drain_hastily  # type: ignore[method-assign]


def _paging_relay() -> None:
    Relay.drain = _drain_by_page  # type: ignore[method-assign]


Build = Callable[[], Service]
VARIANTS: Mapping[str, tuple[Build, Callable[[], Any] | None]] = {
    "ours": (build, None),
    "forgetful": (forgetful, None),
    "unchecked": (forgetful, _without_check),
    "unhalved": (build, _without_halving),
    "hasty relay": (build, _hasty_relay),
    "paging relay": (build, _paging_relay),
}


def variant(name: str) -> Build:
    """The service by that name, once what it lacks has been taken out of this process."""
    make, take_out = VARIANTS[name]
    if take_out is not None:
        take_out()
    return make
