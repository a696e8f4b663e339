"""Whether events are still on their way to us: what silence must wait for on the event clock.

A process knows its own lag as it was some seconds ago, and one without a consumer not at all. So
the sweep asks the broker where the topic ends, and the database how far all replicas are. What
ingest has received and not yet admitted cannot be seen from here; the grace period is for that.
"""

from collections.abc import Mapping

from services.scoring.store import positions
from services.scoring.store.people import Driver
from shared.events.topics import EVENTS
from shared.runtime.log import Log, LogReader, LogUnavailable, TopicPartition


class Backlog:
    """Asked now and then by one job; connects when asked for the first time."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._reader: LogReader | None = None

    async def is_empty(self, driver: Driver) -> bool:
        """Whether everything on `ingest.events` is handled; not, while that cannot be known."""
        try:
            reader = await self._connected()
            ends = await reader.end_offsets()
        except LogUnavailable:
            return False
        handled = await positions.load(driver, EVENTS.name)
        for partition in reader.assignment():
            # Nothing is read here, so nothing is to be fetched and kept either.
            reader.seek(partition, ends.get(partition, 0))
        return bool(ends) and all(handled.get(one, 0) >= end for one, end in ends.items())

    async def close(self) -> None:
        if self._reader is not None:
            await self._reader.stop()

    async def _connected(self) -> LogReader:
        if self._reader is None:
            reader = self._log.reader([EVENTS.name], group=None, member="sweep")
            await reader.start(_Nobody())
            self._reader = reader
        return self._reader


class _Nobody:
    """A reader without a group is not assigned anything."""

    async def assigned(
        self,
        partitions: frozenset[TopicPartition],  # noqa: ARG002 — the protocol's
    ) -> Mapping[TopicPartition, int | None]:
        return {}

    async def revoked(self, partitions: frozenset[TopicPartition]) -> None:  # noqa: ARG002
        return
