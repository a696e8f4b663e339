"""How far behind the service is, and whether it moves: the basis of liveness.

Positions are read from the database, where all replicas keep them, so a partition that nobody is
assigned (a broken assignor, a lost coordinator) is seen as well as one of our own.
"""

from shared.clock import monotonic_seconds
from shared.runtime import metrics
from shared.runtime.failures import is_transient
from shared.runtime.log import LogReader, LogUnavailable, TopicPartition
from shared.runtime.service import Context

_CHECK_SECONDS = 2.0
_POSITIONS = "SELECT topic, partition, next_offset FROM consumed"


class LagWatch:
    """Asks for the ends of all partitions now and then, and tells `Health`."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._checked_at = 0.0

    async def check(self, reader: LogReader) -> None:
        """At most once in two seconds; an absent broker or database becomes a reason to wait."""
        if monotonic_seconds() - self._checked_at < _CHECK_SECONDS:
            return
        health = self._context.health
        try:
            ends = await reader.end_offsets()
            health.waits("kafka", None)
            positions = await self._positions()
            health.waits("database", None)
        except LogUnavailable as away:
            health.waits("kafka", str(away)[:200])
        except Exception as error:
            if not is_transient(error):
                raise
            health.waits("database", type(error).__name__)
        else:
            self._tell(dict(ends), positions)
        self._checked_at = monotonic_seconds()

    async def _positions(self) -> dict[TopicPartition, int]:
        async with self._context.read() as session:
            rows = await session.driver.fetch(_POSITIONS)
        return {TopicPartition(row["topic"], row["partition"]): row["next_offset"] for row in rows}

    def _tell(self, ends: dict[TopicPartition, int], positions: dict[TopicPartition, int]) -> None:
        lag: dict[str, int] = {}
        for partition, end in ends.items():
            behind = max(0, end - positions.get(partition, 0))
            self._context.health.position(partition, positions.get(partition, 0), behind)
            lag[partition.topic] = lag.get(partition.topic, 0) + behind
        for topic, behind in lag.items():
            metrics.LAG.labels(topic).set(behind)
        self._context.health.lag_records = lag
