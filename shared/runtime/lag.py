"""How far behind the service is, and whether it moves: the basis of liveness.

Positions are read from the database, where all replicas keep them. A member answers for its own
partitions, since a sibling that stopped is not its fault; one that is assigned nothing answers for
all of them, since then perhaps nobody is (a broken assignor, a lost coordinator).

The client does not tell when its fetches fail: it hands over nothing, for ever. So a reader that
cannot say where the log ends is given up after a while and built anew.
"""

from collections.abc import Mapping

from shared.clock import monotonic_seconds
from shared.runtime import metrics
from shared.runtime.failures import is_transient
from shared.runtime.health import Standing
from shared.runtime.log import LogReader, LogUnavailable, OffsetGone, TopicPartition
from shared.runtime.service import Context
from shared.runtime.telemetry import logger

_log = logger("lag")
_CHECK_SECONDS = 2.0
_POSITIONS = "SELECT topic, partition, next_offset FROM consumed"

Positions = Mapping[TopicPartition, int]


def demand_whole(ends: Positions, positions: Positions) -> None:
    """`OffsetGone` where a log ends before the position in it: it was made anew, or cut.

    What is written there from now on would be passed over, silently, up to the position.
    """
    for partition, position in positions.items():
        if (end := ends.get(partition, position)) < position:
            raise OffsetGone(
                f"{partition.topic}/{partition.partition} ends at {end}, before the position "
                f"{position}: the log was made anew or lost records"
            )


class LagWatch:
    """Asks for the ends of all partitions now and then, and tells `Health`."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._checked_at = 0.0
        self._blind_since: float | None = None

    def starts(self) -> None:
        """Another reader is asked from now on."""
        self._blind_since = None

    async def check(self, reader: LogReader) -> None:
        """At most once in two seconds; an absent broker or database becomes a reason to wait.

        `LogUnavailable` means that this reader has been blind for too long, `OffsetGone` that a log
        is shorter than what was read of it.
        """
        if monotonic_seconds() - self._checked_at < _CHECK_SECONDS:
            return
        # Positions first: they grow, and one that was read later may be past an end read earlier.
        positions = await self._positions()
        ends = await self._ends(reader)
        self._checked_at = monotonic_seconds()
        if positions is not None and ends is not None:
            self._tell(ends, positions, reader.assignment())

    async def _ends(self, reader: LogReader) -> Positions | None:
        try:
            ends = await reader.end_offsets()
        except LogUnavailable as away:
            self._context.health.waits("kafka", str(away)[:200])
            self._bear(away)
            return None
        self._context.health.waits("kafka", None)
        self._blind_since = None
        return ends

    def _bear(self, away: LogUnavailable) -> None:
        now = monotonic_seconds()
        if self._blind_since is None:
            self._blind_since = now
        blind = now - self._blind_since
        if blind < self._context.settings.reader_blind_seconds_max:
            return
        metrics.READERS_REBUILT.inc()
        _log.error("reader is built anew", blind_seconds=round(blind), detail=str(away)[:200])
        raise LogUnavailable(f"the ends are unknown for {blind:.0f} s: {away}") from away

    async def _positions(self) -> dict[TopicPartition, int] | None:
        try:
            async with self._context.read() as session:
                rows = await session.driver.fetch(_POSITIONS)
        except Exception as error:
            if not is_transient(error):
                raise
            self._context.health.waits("database", type(error).__name__)
            return None
        self._context.health.waits("database", None)
        return {TopicPartition(row["topic"], row["partition"]): row["next_offset"] for row in rows}

    def _tell(
        self, ends: Positions, positions: Positions, assigned: frozenset[TopicPartition]
    ) -> None:
        lag: dict[str, int] = {}
        standings: dict[TopicPartition, Standing] = {}
        for partition, end in ends.items():
            position = positions.get(partition, 0)
            behind = max(0, end - position)
            lag[partition.topic] = lag.get(partition.topic, 0) + behind
            if partition in assigned or not assigned:
                standings[partition] = Standing(position, behind)
        for topic, behind in lag.items():
            metrics.LAG.labels(topic).set(behind)
        self._context.health.lag_records = lag
        self._context.health.stands(standings)
        demand_whole(ends, {one: at.position for one, at in standings.items()})
