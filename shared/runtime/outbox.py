"""What must leave the service: written in the transaction, carried to the log after it.

1. The transaction inserts rows, then commits.
2. The relay (one a service, the leader) is woken at once, reads the lowest rows, writes them to the
   log and waits for all acknowledgements.
3. It deletes exactly those rows. A crash before the deletion is on disk writes them again: same
   ids, so readers drop them, and nobody waits for the disk. Rows are never paged by id, because ids
   commit out of order.
"""

import asyncio
import json
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import NamedTuple

import asyncpg

from shared.events.envelope import Event
from shared.events.topics import TOPIC_OF
from shared.events.written import Written
from shared.runtime.failpoints import FailPoints
from shared.runtime.log import LogWriter, Outgoing

_HEARTBEAT_SECONDS = 1.0
# Together with the above less than `leader_idle_seconds`: who is not answered stops before the
# server lets another one lead.
_HEARTBEAT_SECONDS_MAX = 3.0
# Most rows have one of a few headers; those with a trace of their own come and go.
_HEADERS_CACHED = 1_000
# A broker takes 1 MiB with key and headers. One row above that would hold up all behind it.
VALUE_BYTES_MAX = 900_000
TYPE_HEADER = "tenure-type"
TRACE_HEADER = "traceparent"

_INSERT = """
INSERT INTO outbox (topic, key, value, headers)
SELECT * FROM unnest($1::text[], $2::bytea[], $3::bytea[], $4::text[])
"""
_NEXT = "SELECT id, topic, key, value, headers FROM outbox ORDER BY id LIMIT $1"
_DELETE = "DELETE FROM outbox WHERE id = ANY($1::bigint[])"


class Row(NamedTuple):
    """One record to be written: `headers` is a JSON object of strings."""

    topic: str
    key: bytes
    value: bytes | None
    headers: str


def row_of(event: Event | Written, trace: str | None = None) -> Row:
    """The row of an event on its own topic.

    A type without a topic is a `KeyError`, more bytes than a record may have a `ValueError`.
    """
    if isinstance(event, Written):
        kind, name, value = event.kind, event.kind.type_name(), event.value
    else:
        kind, name, value = type(event), event.type, event.to_json()
    if len(value) > VALUE_BYTES_MAX:
        raise ValueError(f"{name} has {len(value)} bytes, a record {VALUE_BYTES_MAX} at most")
    return Row(TOPIC_OF[kind].name, event.subject.encode(), value, _headers(name, trace))


@lru_cache(maxsize=_HEADERS_CACHED)
def _headers(type_name: str, trace: str | None) -> str:
    headers = {TYPE_HEADER: type_name, "content-type": "application/cloudevents+json"}
    if trace:
        headers[TRACE_HEADER] = trace
    return json.dumps(headers)


async def insert(driver: "asyncpg.Connection[asyncpg.Record]", rows: Sequence[Row]) -> None:
    """One statement for all rows; their ids, taken here, keep the order of publishing."""
    if not rows:
        return
    await driver.execute(
        _INSERT,
        [row.topic for row in rows],
        [row.key for row in rows],
        [row.value for row in rows],
        [row.headers for row in rows],
    )


class Relay:
    """Carries the outbox to the log while this process leads."""

    def __init__(self, writer: LogWriter, batch_records: int, failpoints: FailPoints) -> None:
        self._writer = writer
        self._batch_records = batch_records
        self._failpoints = failpoints
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Rows were committed; callable only from the relay's own event loop."""
        self._woken.set()

    async def wait(self, seconds_max: float) -> None:
        """Until woken, or until the sweep is due."""
        # Not `wait_for`: in Python 3.11 it forgets a cancellation that comes with the waking.
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds_max):
                await self._woken.wait()

    async def drain(self, driver: "asyncpg.Connection[asyncpg.Record]") -> int:
        """Carries everything there is; returns how many records."""
        carried = 0
        while True:
            self._woken.clear()
            rows = await driver.fetch(_NEXT, self._batch_records)
            if not rows:
                return carried
            await self._failpoints.reach("relay.before_write")
            await hold(driver, self._writer.write([_outgoing(row) for row in rows]))
            await self._failpoints.reach("relay.after_write")
            await driver.execute(_DELETE, [row["id"] for row in rows])
            await self._failpoints.reach("relay.after_delete")
            carried += len(rows)


async def hold(driver: "asyncpg.Connection[asyncpg.Record]", work: Awaitable[None]) -> None:
    """Does `work` while a heartbeat on `driver` keeps its session, and so the leader's lock."""
    task = asyncio.ensure_future(work)
    try:
        while not task.done():
            _, waiting = await asyncio.wait({task}, timeout=_HEARTBEAT_SECONDS)
            if waiting:
                await driver.execute("SELECT 1", timeout=_HEARTBEAT_SECONDS_MAX)
        task.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _outgoing(row: asyncpg.Record) -> Outgoing:
    return Outgoing(row["topic"], row["key"], row["value"], _record_headers(row["headers"]))


@lru_cache(maxsize=_HEADERS_CACHED)
def _record_headers(headers: str) -> tuple[tuple[str, bytes], ...]:
    """A row's headers as a record's.

    A lone surrogate (a quoted piece of a broken record) would hold up all that follows.
    """
    return tuple(
        (name, value.encode(errors="backslashreplace"))
        for name, value in json.loads(headers).items()
    )
