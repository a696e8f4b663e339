"""Posts happenings through the public door of ingest, as a shop's backend should.

What happened to one person is sent in order: people are spread over lanes, and a lane has one
request on its way at a time. Whatever has no answer, or is asked to come later, is sent again with
the same ids, so nothing is lost and ingest counts nothing twice.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, Protocol
from zlib import crc32

import httpx

from shared.clock import monotonic_seconds, wall_now
from shared.retry import Backoff
from stack.errors import StackError

LATER = frozenset({408, 425, 429, 500, 502, 503, 504})
RETRY_AFTER_SECONDS_MAX = 60.0


class Postable(Protocol):
    """An event that can be posted. What is of one `person` is sent in order."""

    @property
    def type(self) -> str: ...
    @property
    def person(self) -> str: ...
    def payload(self) -> dict[str, Any]: ...


Errors = Sequence[dict[str, Any]]
TOO_LARGE: Errors = ({"path": "", "message": "larger than a request may be"},)


def _nobody(_event: Any, _errors: Errors) -> None:
    """Nobody wants to hear of what was rejected."""


@dataclass(frozen=True, slots=True)
class SenderLimits:
    """How much goes in one request, how many at once, and how long ingest may be away."""

    lanes: int = 6
    batch_events_max: int = 250
    batch_bytes_max: int = 400_000
    patience_seconds: float = 120.0
    backoff: Backoff = field(default_factory=Backoff)


@dataclass(slots=True)
class Tally:
    """What became of the events."""

    accepted: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    by_type: Counter[str] = field(default_factory=Counter)
    resent_requests: int = 0


@dataclass(frozen=True, slots=True)
class _Batch:
    happenings: Sequence[Postable]
    bodies: Sequence[bytes]

    @property
    def body(self) -> bytes:
        return b'{"events":[' + b",".join(self.bodies) + b"]}"

    def halves(self) -> tuple["_Batch", "_Batch"]:
        middle = len(self.bodies) // 2
        return (
            _Batch(self.happenings[:middle], self.bodies[:middle]),
            _Batch(self.happenings[middle:], self.bodies[middle:]),
        )


@dataclass(slots=True)
class Sender:
    """`client` has the address of ingest and the key; `on_rejected` hears of every event that
    ingest did not take, with its errors, whose paths begin at the event."""

    client: httpx.AsyncClient
    limits: SenderLimits = field(default_factory=SenderLimits)
    tally: Tally = field(default_factory=Tally)
    on_rejected: Callable[[Any, Errors], None] = _nobody

    async def send(self, happenings: Sequence[Postable]) -> None:
        """Returns when ingest has answered for every one of them.

        Raises `StackError` when it refuses the key, or stays away for longer than the patience.
        """
        lanes: dict[int, list[Postable]] = {}
        for happening in happenings:
            lane = crc32(happening.person.encode()) % self.limits.lanes
            lanes.setdefault(lane, []).append(happening)
        async with asyncio.TaskGroup() as group:
            for waiting in lanes.values():
                group.create_task(self._send_lane(waiting))

    async def _send_lane(self, happenings: Sequence[Postable]) -> None:
        for batch in self._batches(happenings):
            await self._send_batch(batch)

    def _batches(self, happenings: Sequence[Postable]) -> Iterator[_Batch]:
        chosen: list[Postable] = []
        bodies: list[bytes] = []
        size_bytes = 0
        for happening in happenings:
            body = json.dumps(happening.payload(), separators=(",", ":")).encode()
            full = len(bodies) == self.limits.batch_events_max
            if bodies and (full or size_bytes + len(body) > self.limits.batch_bytes_max):
                yield _Batch(chosen, bodies)
                chosen, bodies, size_bytes = [], [], 0
            chosen.append(happening)
            bodies.append(body)
            size_bytes += len(body)
        if bodies:
            yield _Batch(chosen, bodies)

    async def _send_batch(self, batch: _Batch) -> None:
        answer = await self._post(batch.body)
        if answer.status_code == httpx.codes.REQUEST_ENTITY_TOO_LARGE:
            await self._send_smaller(batch)
        elif answer.status_code in {httpx.codes.ACCEPTED, httpx.codes.UNPROCESSABLE_ENTITY}:
            self._count(batch, answer)
        else:
            raise StackError(
                f"ingest answered {answer.status_code}: {_detail(answer)}.",
                "See the logs of ingest in the data directory.",
            )

    async def _send_smaller(self, batch: _Batch) -> None:
        if len(batch.bodies) == 1:
            self._reject(batch.happenings[0], TOO_LARGE)
            return
        for half in batch.halves():
            await self._send_batch(half)

    async def _post(self, body: bytes) -> httpx.Response:
        """The answer, after as many tries as it takes within the patience."""
        delays = self.limits.backoff.delays()
        until = monotonic_seconds() + self.limits.patience_seconds
        while True:
            try:
                answer = await self.client.post(
                    "/v1/events", content=body, headers={"Content-Type": "application/json"}
                )
            except httpx.TransportError as error:
                reason, wait_seconds = str(error) or type(error).__name__, next(delays)
            else:
                if answer.status_code not in LATER:
                    return answer
                reason = f"it answers {answer.status_code}"
                wait_seconds = max(next(delays), retry_after_seconds(answer.headers, wall_now()))
            if monotonic_seconds() + wait_seconds > until:
                raise StackError(
                    f"ingest has been away for {self.limits.patience_seconds:.0f} s: {reason}.",
                    "See the logs in the data directory.",
                )
            self.tally.resent_requests += 1
            await asyncio.sleep(wait_seconds)

    def _count(self, batch: _Batch, answer: httpx.Response) -> None:
        verdict = answer.json()
        rejected = {one["index"]: one["errors"] for one in verdict.get("rejected", ())}
        if answer.status_code != httpx.codes.ACCEPTED and not rejected:
            raise StackError(f"ingest refused a request: {_detail(answer)}.", "This is a defect.")
        for index, happening in enumerate(batch.happenings):
            if index in rejected:
                self._reject(happening, [_within(one, index) for one in rejected[index]])
            else:
                self.tally.accepted += 1
                self.tally.by_type[happening.type] += 1

    def _reject(self, happening: Postable, errors: Errors) -> None:
        self.tally.rejected[f"{happening.type}: {_first(errors)}"] += 1
        self.on_rejected(happening, errors)


def _within(error: dict[str, Any], index: int) -> dict[str, Any]:
    path = str(error.get("path", "")).removeprefix(f"events.{index}").removeprefix(".")
    return {**error, "path": path}


def retry_after_seconds(headers: httpx.Headers, now: datetime) -> float:
    """What `Retry-After` asks for, as seconds or as a date, up to a minute; 0 without one."""
    asked = headers.get("retry-after", "")
    if asked.isdigit():
        seconds = float(asked)
    else:
        try:
            seconds = (parsedate_to_datetime(asked) - now).total_seconds()
        except (ValueError, TypeError):
            seconds = 0.0
    return min(max(seconds, 0.0), RETRY_AFTER_SECONDS_MAX)


def _first(errors: Errors) -> str:
    if not errors:
        return "no reason given"
    parts = (errors[0].get("path"), errors[0].get("message"))
    return ": ".join(str(part) for part in parts if part)


def _detail(answer: httpx.Response) -> str:
    try:
        return str(answer.json().get("detail", ""))[:200]
    except ValueError:
        return answer.text[:200]
