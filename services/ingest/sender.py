"""Group commit onto the log: what arrives while a write is under way leaves together in the next.

One awaited write per request would cost the broker a round trip each. Nothing is kept that is not
being waited for: past the bound on bytes in flight a request is turned away at once, and once one
waited too long for its acknowledgement, only one at a time finds out whether the broker is back.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Self

from shared.runtime.log import LogUnavailable, LogWriter, Outgoing


class Busy(Exception):
    """As many bytes are in flight as may be; try again later."""


class Sender:
    """Writes for many requests at once. One per event loop; connects with the first write."""

    def __init__(
        self,
        writer: LogWriter,
        *,
        in_flight_bytes_max: int,
        write_bytes_max: int,
        write_seconds_max: float,
        strangers_bytes_max: int = 8_388_608,
    ) -> None:
        self._writer = writer
        self._write_seconds_max = write_seconds_max
        self._in_flight_bytes_max = in_flight_bytes_max
        self._write_bytes_max = write_bytes_max
        self._in_flight_bytes = 0
        self.strangers_bytes_max = strangers_bytes_max
        self.strangers_bytes = 0
        self._waiting: deque[tuple[Sequence[Outgoing], asyncio.Future[None]]] = deque()
        self._pump: asyncio.Task[None] | None = None
        self._started = False
        self._away = False

    def hold(self) -> "Hold":
        """A share of the bytes in flight, given back on leaving: `with sender.hold() as hold`."""
        return Hold(self)

    def hold_stranger(self) -> "StrangersHold":
        """The same, for somebody of whom is not known yet whether they may post anything."""
        return StrangersHold(self)

    def take(self, size_bytes: int) -> None:
        """Counts bytes as in flight; raises `Busy` when there is no room for them."""
        if self._in_flight_bytes + size_bytes > self._in_flight_bytes_max:
            raise Busy(f"{self._in_flight_bytes} bytes are in flight")
        self._in_flight_bytes += size_bytes

    def give_back(self, size_bytes: int) -> None:
        """Counts bytes as no longer in flight."""
        self._in_flight_bytes -= size_bytes
        assert self._in_flight_bytes >= 0, "more was given back than taken"

    def partition_of(self, topic: str, key: bytes) -> int:
        """The partition of a key, as the writer will choose it."""
        return self._writer.partition_of(topic, key)

    async def write(self, records: Sequence[Outgoing]) -> None:
        """Returns when the broker has acknowledged all; raises `LogUnavailable`.

        A caller that stops waiting does not stop records that have left for the broker.
        """
        if self._away and self._pump is not None:
            raise LogUnavailable("the broker is away")
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        self._waiting.append((records, done))
        if self._pump is None:
            self._pump = asyncio.create_task(self._run())
        # Less than half the cost of `asyncio.timeout`, which every request would pay.
        late = loop.call_later(self._write_seconds_max, self._give_up, done)
        try:
            await done
        finally:
            late.cancel()

    def _give_up(self, done: "asyncio.Future[None]") -> None:
        """Nobody waits for these records any more; who comes next need not find out the same."""
        self._away = True
        if not done.done():
            done.set_exception(LogUnavailable("not acknowledged in time"))
        while self._waiting and self._waiting[0][1].done():
            self._waiting.popleft()

    async def close(self, seconds_max: float) -> None:
        """Writes what is waited for, as far as the time allows, then lets the broker go."""
        if self._pump is not None:
            await asyncio.wait([self._pump], timeout=seconds_max)
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.gather(self._pump, return_exceptions=True)
        if self._started:
            await self._writer.stop()

    async def _run(self) -> None:
        try:
            if not self._started:
                await self._writer.start()
                self._started = True
            while self._waiting:
                await self._write_next()
        except BaseException as error:
            self._fail_waiting(error)
            if not isinstance(error, Exception):
                raise  # cancelled; any other failure is the waiting requests' to tell
        finally:
            self._pump = None

    async def _write_next(self) -> None:
        group = self._next_group()
        try:
            await self._writer.write([record for records, _ in group for record in records])
        except BaseException as error:
            self._away = True
            _answer(group, error)
            raise
        self._away = False
        _answer(group, None)

    def _next_group(self) -> list[tuple[Sequence[Outgoing], "asyncio.Future[None]"]]:
        """Requests in the order of arrival, together at most about `write_bytes_max`."""
        group = [self._waiting.popleft()]
        size = _size(group[0][0])
        while self._waiting:
            size += _size(self._waiting[0][0])
            if size > self._write_bytes_max:
                break
            group.append(self._waiting.popleft())
        return group

    def _fail_waiting(self, error: BaseException) -> None:
        self._away = True
        _answer(list(self._waiting), error)
        self._waiting.clear()


class Hold:
    """What one request has in flight."""

    __slots__ = ("_sender", "held_bytes")

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self.held_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_failure: object) -> None:
        self._sender.give_back(self.held_bytes)

    def take(self, size_bytes: int) -> None:
        self._sender.take(size_bytes)
        self.held_bytes += size_bytes

    def introduce(self) -> None:
        """Tells that the sender is known from now on; this one always was."""


class StrangersHold(Hold):
    """What a request has in flight of whose sender nothing is known yet. All of them together have
    a part of the whole, so that they keep out nobody whose key is known."""

    __slots__ = ("_is_stranger",)

    def __init__(self, sender: Sender) -> None:
        super().__init__(sender)
        self._is_stranger = True

    def __exit__(self, *failure: object) -> None:
        self.introduce()
        super().__exit__(*failure)

    def take(self, size_bytes: int) -> None:
        if not self._is_stranger:
            super().take(size_bytes)
            return
        sender = self._sender
        if sender.strangers_bytes + size_bytes > sender.strangers_bytes_max:
            raise Busy(f"{sender.strangers_bytes} bytes of unknown senders are in flight")
        super().take(size_bytes)
        sender.strangers_bytes += size_bytes

    def introduce(self) -> None:
        if self._is_stranger:
            self._is_stranger = False
            self._sender.strangers_bytes -= self.held_bytes


def _size(records: Sequence[Outgoing]) -> int:
    return sum(len(record.value or b"") for record in records)


def _answer(
    group: Sequence[tuple[Sequence[Outgoing], "asyncio.Future[None]"]],
    error: BaseException | None,
) -> None:
    for _, done in group:
        if done.done():
            continue  # the client went away
        if error is None:
            done.set_result(None)
        elif isinstance(error, asyncio.CancelledError):
            done.set_exception(LogUnavailable("stopping"))
        else:
            done.set_exception(error)


@asynccontextmanager
async def open_sender(
    writer: LogWriter,
    *,
    in_flight_bytes_max: int,
    write_bytes_max: int,
    write_seconds_max: float,
    close_seconds_max: float,
    strangers_bytes_max: int,
) -> AsyncIterator[Sender]:
    """A sender that is closed on leaving, within `close_seconds_max`."""
    sender = Sender(
        writer,
        in_flight_bytes_max=in_flight_bytes_max,
        write_bytes_max=write_bytes_max,
        write_seconds_max=write_seconds_max,
        strangers_bytes_max=strangers_bytes_max,
    )
    try:
        yield sender
    finally:
        await sender.close(close_seconds_max)
