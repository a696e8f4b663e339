"""The batch consumer: exactly-once effects from an at-least-once log.

1. Poll a batch of every assigned partition, and decode it.
2. Begin. Advance the stored positions with a check of the expected ones: who lost the partition
   fails here and changes nothing. Remember the ids; drop what was seen.
3. Call each handler once with its events. Insert what leaves into the outbox.
4. Commit. Wake the relay. Tell Kafka the position too, best effort, for lag tools.
5. On assignment, and after any failure, seek to the positions in the database.

A batch that fails for a reason of its own is halved until the poisoned event is alone; that one
becomes a dead letter in the same transaction that moves past it. One that runs into a limit is
tried again first, and record by record when that does not help.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime

from shared.clock import EventClock, monotonic_seconds, wall_now
from shared.retry import Backoff
from shared.runtime import inbox, metrics
from shared.runtime.batch import Slice, conflict, count, decode, in_lanes, named, outcomes
from shared.runtime.continuity import Continuity
from shared.runtime.db import Transaction
from shared.runtime.dead import DeadBound, DeadLetter, row_of_dead
from shared.runtime.event_clock import persist
from shared.runtime.failures import Fenced, TooManyDeadLetters, is_transient
from shared.runtime.inbox import Message, Move
from shared.runtime.lag import LagWatch, demand_whole
from shared.runtime.log import LogReader, LogUnavailable, OffsetGone, Record, TopicPartition
from shared.runtime.pace import RECORDS_MIN, RECORDS_STEADY, paced
from shared.runtime.service import Context, Subscription
from shared.runtime.suspicion import Suspicion, may_be_the_events
from shared.runtime.telemetry import logger, span, told

_log = logger("consumer")


class Consumer:
    """Reads a service's topics and applies them. One per process, in the worker's event loop."""

    def __init__(
        self,
        context: Context,
        subscriptions: Sequence[Subscription],
        make_reader: Callable[[], LogReader],
    ) -> None:
        self._context = context
        self._settings = context.settings
        self._by_topic = {one.topic.name: one for one in subscriptions}
        self._make_reader = make_reader
        self._reader = make_reader()
        self._lag = LagWatch(context)
        self._positions: dict[TopicPartition, int] = {}
        self._continuity = Continuity()
        self._busy = asyncio.Lock()
        self._records_max = min(RECORDS_MIN * 10, self._settings.batch_records_max)
        self._stopping = asyncio.Event()
        self._suspicion = Suspicion(self._settings.limit_failures_max)
        self._one_by_one = False
        self._gone: OffsetGone | None = None
        self._bound = DeadBound(
            self._settings.dead_ratio_max,
            self._settings.dead_count_min,
            window=self._settings.dead_window_events,
        )

    async def assigned(
        self, partitions: frozenset[TopicPartition]
    ) -> Mapping[TopicPartition, int | None]:
        """Where to start: the stored position, or the beginning of what was never read."""
        async with self._busy:
            self._positions = await self._load(partitions)
            self._continuity.expect(partitions)
            try:
                demand_whole(await self._reader.end_offsets(), self._positions)
            except OffsetGone as gone:
                self._gone = gone  # raised by the next turn: a client may swallow it here
            except LogUnavailable as away:
                _log.warning("ends are unknown", detail=str(away)[:200])  # until they are watched
            return dict(self._positions)

    async def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        """Forgets positions, after the batch in hand; the database has them."""
        async with self._busy:
            for partition in partitions:
                self._positions.pop(partition, None)

    async def run(self) -> None:
        """Until stopped. A bound or retention that was passed ends the work, loudly."""
        delays = Backoff().delays()
        while not self._stopping.is_set():
            try:
                self._lag.starts()
                await self._reader.start(self)
                delays = Backoff().delays()
                while not self._stopping.is_set():
                    await self._turn()
            except (TooManyDeadLetters, OffsetGone) as end:
                self._context.health.stopped_because = f"{type(end).__name__}: {end}"
                _log.error("consumer stopped", reason=str(end))
                await self._stopping.wait()
            except LogUnavailable as away:
                self._context.health.waits("kafka", str(away)[:200])
                _log.warning("kafka is away", detail=str(away)[:200])
                await self._pause(next(delays))
            except Exception as error:
                if not (self._stopping.is_set() and is_transient(error)):
                    raise
                _log.warning("stopped while waiting", **told(error))  # the log has it all
            finally:
                await self._reader.stop()
            self._positions = {}  # the next reader is told where it stands
            self._reader = self._make_reader()

    def stop(self) -> None:
        """Finish the batch in hand, then leave the group."""
        self._stopping.set()

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    async def _turn(self) -> None:
        self._context.health.works()
        batch = await self._reader.poll(
            records_max=self._records_max, timeout_seconds=self._settings.poll_seconds
        )
        try:
            if self._gone is not None:
                raise self._gone
            await self._context.failpoints.reach("consumer.after_poll")
            if batch:
                await self._handle(batch)
        except (TooManyDeadLetters, OffsetGone):
            raise
        except Exception as error:
            if not (isinstance(error, Fenced) or is_transient(error)):
                raise
            await self._recover(error)
        await self._lag.check(self._reader)

    async def _handle(self, batch: Mapping[TopicPartition, Sequence[Record]]) -> None:
        started = monotonic_seconds()
        async with self._busy:
            if any(partition not in self._positions for partition in batch):
                raise Fenced("records of a partition whose position is not loaded")
            slices = [
                decode(self._by_topic, partition, records)
                for partition, polled in batch.items()
                if (records := self._unread(partition, polled))
            ]
            if slices:
                await self._take(slices)
        await self._reader.commit(dict(self._positions))
        self._adapt(
            monotonic_seconds() - started,
            sum(len(one.records) for one in slices),
        )

    async def _take(self, slices: Sequence[Slice]) -> None:
        """Side by side: while one transaction waits for the database another one computes."""
        if self._suspicion.is_ripe([one.partition for one in slices]):
            await self._blaming(slices, self._take_one_by_one(slices))
            return
        lanes = in_lanes(slices, self._settings.batch_lanes, RECORDS_STEADY)
        work = [self._blaming(lane, self._apply_or_halve(lane)) for lane in lanes]
        for failure in await asyncio.gather(*work, return_exceptions=True):
            if failure is not None:
                raise failure

    async def _blaming(self, slices: Sequence[Slice], work: Awaitable[None]) -> None:
        """Does `work`; when it runs into a limit, what it is about becomes suspect."""
        try:
            await work
        except Exception as error:
            if may_be_the_events(error):
                self._suspicion.failed([one.partition for one in slices])
            raise

    async def _take_one_by_one(self, slices: Sequence[Slice]) -> None:
        """Each record alone: what runs into a limit then does so by itself."""
        _log.warning("a limit was reached time and again: trying records one by one")
        if self._suspicion.excuse():
            self._context.health.begins_anew()
        self._one_by_one = True
        try:
            for one in slices:
                for record in one.records:
                    await self._set_aside(decode(self._by_topic, one.partition, [record]))
        finally:
            self._one_by_one = False

    def _is_own(self, error: Exception) -> bool:
        """Whether it is the batch that failed, not the world around it."""
        if isinstance(error, Fenced | TooManyDeadLetters):
            return False
        return not is_transient(error) or (self._one_by_one and may_be_the_events(error))

    def _unread(self, partition: TopicPartition, polled: Sequence[Record]) -> Sequence[Record]:
        at = self._positions[partition]
        return self._continuity.unread(partition, at, polled, self._reader.seek)

    def _adapt(self, seconds: float, records: int) -> None:
        """More records a batch while there is lag, fewer when a batch takes too long."""
        metrics.BATCH_SECONDS.observe(seconds)
        self._records_max = paced(self._records_max, records, seconds, self._settings)

    async def _apply_or_halve(self, slices: Sequence[Slice]) -> None:
        try:
            await self._apply(slices)
        except Exception as error:
            if not self._is_own(error):
                raise
            if len(slices) > 1:
                for one in slices:
                    await self._apply_or_halve([one])
            elif len(slices[0].records) > 1:
                records, middle = slices[0].records, len(slices[0].records) // 2
                for part in (records[:middle], records[middle:]):
                    one = decode(self._by_topic, slices[0].partition, part)
                    await self._apply_or_halve([one])
            else:
                await self._set_aside(slices[0])

    async def _apply(self, slices: Sequence[Slice]) -> None:
        """One transaction for all these records."""
        self._context.health.works()
        moves = [one.move_from(self._positions[one.partition]) for one in slices]
        messages = [message for one in slices for message in one.messages]
        dead = [letter for one in slices for letter in one.dead]
        async with self._context.database.transaction(
            self._context.clock, resources=self._context.resources, gap="consumer"
        ) as tx:
            await self._context.failpoints.reach("consumer.after_begin")
            await inbox.advance(tx.driver, moves)
            admitted = await inbox.admit(tx.driver, messages, wall_now())
            dead += [conflict(message) for message in admitted.conflicting]
            now = self._now_with(admitted.fresh)
            await self._context.failpoints.reach("consumer.before_state")
            await self._dispatch(tx, admitted.fresh, now)
            await self._context.failpoints.reach("consumer.after_state")
            await self._finish(tx, len(admitted.fresh), dead, now)
        self._committed(moves, admitted.fresh, admitted.duplicates, dead)
        if tx.leaving:
            await self._context.poke_relay()

    async def _set_aside(self, only: Slice) -> None:
        """One record that fails: the bad ones of its messages dead, or all of it."""
        self._context.health.works()
        try:
            await self._apply_each(only)
        except Exception as error:
            if not self._is_own(error):
                raise
            # Its connection did not outlive it: past it without its handler.
            _log.warning("record failed", partition=str(only.partition), **told(error))
            letter = DeadLetter.of(only.records[0], type(error).__name__, str(error))
            await self._apply_each(Slice(only.partition, only.records, (), (letter,)))

    async def _apply_each(self, only: Slice) -> None:
        """One record, each of its messages under a savepoint; those that fail become dead."""
        move = only.move_from(self._positions[only.partition])
        dead = list(only.dead)
        applied: list[Message] = []
        async with self._context.database.transaction(
            self._context.clock, resources=self._context.resources, gap="consumer"
        ) as tx:
            await inbox.advance(tx.driver, [move])
            for message in only.messages:
                failure = await self._try(tx, message, self._now_with([*applied, message]))
                if failure is None:
                    applied.append(message)
                else:
                    dead.append(failure)
            await self._finish(tx, len(applied), dead, self._now_with(applied))
        self._committed([move], applied, (), dead)
        await self._context.poke_relay()

    async def _try(self, tx: Transaction, message: Message, now: datetime) -> DeadLetter | None:
        leaving = len(tx.leaving)
        savepoint = tx.driver.transaction()
        await savepoint.start()
        try:
            admitted = await inbox.admit(tx.driver, [message], wall_now())
            await self._dispatch(tx, admitted.fresh, now)
        except Exception as error:
            if not self._is_own(error):
                raise
            await savepoint.rollback()
            del tx.leaving[leaving:]
            _log.warning("event failed", **named(message), **told(error))
            return DeadLetter.of_message(message, type(error).__name__, str(error))
        await savepoint.commit()
        return conflict(message) if admitted.conflicting else None

    def _now_with(self, admitted: Sequence[Message]) -> datetime:
        """What the time is once these are admitted. The clock itself moves when they are."""
        now = self._context.clock.now()
        if isinstance(self._context.clock, EventClock):
            return max([now, *(message.time for message in admitted)])
        return now

    async def _dispatch(self, tx: Transaction, messages: Sequence[Message], now: datetime) -> None:
        """Each handler once, with its events in the order of the log."""
        by_topic: dict[str, list[Message]] = {}
        for message in messages:
            by_topic.setdefault(message.topic, []).append(message)
        for topic, arrived in by_topic.items():
            tx.traces = {one.event_id: one.trace for one in arrived if one.trace}
            for handler in self._by_topic[topic].handlers:
                events = [one.event for one in arrived if handler.takes(one.event)]
                if events:
                    with span(f"{self._context.name} {handler.handle.__name__}", _first(tx.traces)):
                        await handler.handle(tx, events, now=now)

    async def _finish(
        self, tx: Transaction, applied: int, dead: Sequence[DeadLetter], now: datetime
    ) -> None:
        if not self._bound.allows(*outcomes(applied, dead)):
            last = dead[-1]  # its reason may quote the event, and everybody may ask for readiness
            raise TooManyDeadLetters(
                f"{last.kind} at {last.topic}[{last.partition}]@{last.offset} (over "
                f"{self._settings.dead_ratio_max:.0%} of recent events fail; mend the cause and "
                f"restart {self._context.name})"
            )
        tx.leaving.extend(row_of_dead(letter, self._context.name, wall_now()) for letter in dead)
        if isinstance(self._context.clock, EventClock):
            await persist(tx.driver, now)

    def _committed(
        self,
        moves: Sequence[Move],
        applied: Sequence[Message],
        duplicates: Sequence[Message],
        dead: Sequence[DeadLetter],
    ) -> None:
        if applied:
            self._context.clock.observe(max(message.time for message in applied))
        self._bound.count(*outcomes(len(applied), dead))
        count(applied, duplicates, dead)
        self._suspicion.moved(move.partition for move in moves)
        for move in moves:
            if move.partition in self._positions:
                self._positions[move.partition] = move.next_offset

    async def _load(self, partitions: frozenset[TopicPartition]) -> dict[TopicPartition, int]:
        """Positions from the database, waiting for it; new partitions start at their beginning."""
        delays = Backoff().delays()
        while True:
            try:
                async with self._context.database.transaction(self._context.clock) as tx:
                    stored = await inbox.load_positions(tx.driver, partitions)
                    fresh = partitions - stored.keys()
                    if fresh:
                        begin = {one: await self._reader.beginning_offset(one) for one in fresh}
                        await inbox.ensure_positions(tx.driver, begin)
                        stored = await inbox.load_positions(tx.driver, partitions)
                self._context.health.waits("database", None)
                return stored
            except Exception as error:
                if not is_transient(error) or self._stopping.is_set():
                    raise
                self._suspicion.clear()
                away = "kafka" if isinstance(error, LogUnavailable) else "database"
                self._context.health.waits(away, type(error).__name__)
                self._context.health.works()
                await self._pause(next(delays))

    async def _recover(self, error: Exception) -> None:
        """Waits for what is away, then goes back to the stored positions."""
        if isinstance(error, Fenced):
            metrics.FENCED.inc()
            _log.warning("position moved under us", detail=str(error))
        else:
            metrics.RETRIES.inc()
            _log.warning("waiting", **told(error))
            # Perhaps it was too much at once for the limits of one statement.
            self._records_max = max(RECORDS_MIN, self._records_max // 2)
            await self._pause(next(Backoff().delays()))
        self._context.health.works()
        async with self._busy:
            still, before = self._reader.assignment(), self._positions
            self._positions = await self._load(still)
            self._suspicion.loaded(before, self._positions)
            self._continuity.expect(still)
            for partition, offset in self._positions.items():
                self._reader.seek(partition, offset)


def _first(traces: Mapping[str, str]) -> str | None:
    return next(iter(traces.values()), None)
