"""The hot path of `POST /v1/events`, in front of the router of the same FastAPI app.

1. Who is it, and may they post now? Nothing of the body is read before that is known.
2. Read, within bounds of size and time. Judge every event.
3. Write what was accepted, as one record a partition, and what was refused, as one record.
4. Answer when the broker has acknowledged both. Until then nothing was promised.

With `?dry_run=true` the verdicts are answered with 200 and nothing is written.
"""

import asyncio
import math
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import parse_qs

import orjson

from services.ingest.api.body import BodyLimits, Gone, read_body
from services.ingest.api.schemas import document
from services.ingest.api.segment_paths import POSTS
from services.ingest.domain import bundle
from services.ingest.domain.cloudevents import Mode, judge_cloudevents, mode_of, source_room
from services.ingest.domain.rate import Bucket
from services.ingest.domain.segment.verdict import Rules
from services.ingest.domain.verdict import Limits, Rejected, Unreadable, Verdicts, judge
from services.ingest.handlers import rehearsals
from services.ingest.handlers.joining import IdentityRules
from services.ingest.handlers.plans import InForce
from services.ingest.handlers.receipt import default_time, receipt_time
from services.ingest.sender import Busy, Sender
from shared.clock import monotonic_seconds
from shared.events.topics import RECEIVED
from shared.ids import random_event_id, serial_ids
from shared.runtime import metrics
from shared.runtime.auth import Caller
from shared.runtime.failures import is_transient
from shared.runtime.http import Problem, authorize, problem_response, unavailable
from shared.runtime.log import LogUnavailable, Outgoing
from shared.runtime.outbox import TRACE_HEADER
from shared.runtime.service import Context
from shared.runtime.telemetry import logger
from shared.runtime.web import BodyTooLarge

PATH = "/v1/events"
CONTENT_TYPES = (
    "application/json",
    "application/cloudevents+json",
    "application/cloudevents-batch+json",
)
_log = logger("door")
_RETRY_AFTER_SECONDS = 1
_TRACEPARENT = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}").fullmatch
_JSON_TYPES = frozenset({b"", b"application/json"})
_ERRORS_MAX = 100
_YES, _NO = frozenset({"true", "1"}), frozenset({"false", "0"})
_BUCKETS_MAX = 10_000
_accepted_count = metrics.INTAKE_EVENTS.labels("accepted")
_rejected_count = metrics.INTAKE_EVENTS.labels("rejected")

Receive = Callable[[], Awaitable[Any]]


class Door:
    """Takes `POST /v1/events` before routing does; everything else goes on to `app`."""

    # Its own limits of size and time hold there, so nobody else need count the same bytes.
    bounds_itself = frozenset({PATH, *POSTS})

    def __init__(self, app: Any, context_of: Callable[[], Context]) -> None:
        document(app)
        self._app = app
        self._context_of = context_of

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"] != PATH or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        scope["fast_route"] = PATH
        response = await answer(self._context_of(), scope, receive)
        if response is not None:
            await response(scope, receive, send)


async def answer(context: Context, scope: Any, receive: Receive) -> Any:
    """The response (an ASGI app) to a request with events; None when nobody waits for one."""
    headers = dict(scope["headers"])
    try:
        caller = authorize(
            context, _bearer(headers.get(b"authorization", b"")), "ingest", test_too=True
        )
        query = scope["query_string"]
        dry_run = _asks_for_dry_run(query) if query else False
        return await _take(context, caller, headers, receive, dry_run=dry_run)
    except Gone:
        return None
    except Problem as problem:
        return problem_response(problem)
    except BodyTooLarge:
        raise
    except Exception as error:
        return problem_response(problem_of(error))


async def _take(
    context: Context,
    caller: Caller,
    headers: Mapping[bytes, bytes],
    receive: Receive,
    *,
    dry_run: bool,
) -> Any:
    settings, intake = context.settings, context.resources
    bucket = bucket_of(context, caller)
    mode = _mode(headers)
    with intake.sender.hold() as hold:
        # Too late is 503 in both halves: nothing was promised, so the client sends again.
        async with asyncio.timeout(settings.body_seconds_max):
            body = await read_body(headers, receive, hold, intake.body_limits)
        try:
            verdicts = _judged(context, caller, headers, mode, body)
        except Problem:
            bucket.pay(1)  # what cannot be read is work too
            raise
        bucket.pay(len(verdicts.accepted) + len(verdicts.rejected))
        if dry_run:
            return _receipt(verdicts, 200)
        await deliver(context, caller, headers, verdicts)
    return _receipt(verdicts, 202)


def bucket_of(context: Context, caller: Caller) -> Bucket:
    """The bucket that the caller's events are paid from; `Problem` 429 while it is in debt."""
    bucket: Bucket = context.resources.bucket_of(caller.key_id)
    wait = bucket.wait_seconds(monotonic_seconds())
    if wait > 0:
        detail = f"this key posts more than {bucket.per_second:.0f} events a second"
        raise Problem(429, detail, headers={"Retry-After": str(math.ceil(wait))})
    return bucket


async def deliver(
    context: Context, caller: Caller, headers: Mapping[bytes, bytes], verdicts: Verdicts
) -> None:
    """Returns when the broker has what was accepted and what was refused; else raises. What a test
    key posts is recorded instead."""
    if caller.test:
        await _rehearse(context, caller, verdicts)
        return
    records = list(_records(context, caller, headers, verdicts))
    await context.failpoints.reach("intake.before_write")
    await context.resources.sender.write(records)
    await context.failpoints.reach("intake.after_write")
    _accepted_count.inc(len(verdicts.accepted))
    _rejected_count.inc(len(verdicts.rejected))


def _asks_for_dry_run(query: bytes) -> bool:
    """Anything but a clear yes or no is refused: it might be a rehearsal that would come true."""
    given = parse_qs(query.decode("latin-1"), keep_blank_values=True).get("dry_run", ["false"])
    answers = {one.lower() for one in given}
    if answers <= _YES or answers <= _NO:
        return answers <= _YES
    raise Problem(
        422,
        "the request is not valid",
        errors=[{"path": "query.dry_run", "message": "must be true or false"}],
    )


def _judged(
    context: Context, caller: Caller, headers: Mapping[bytes, bytes], mode: Mode | None, body: bytes
) -> Verdicts:
    limits, now = context.resources.limits, receipt_time(context.clock)
    try:
        if mode is None:
            return judge(body, limits, now, random_event_id)
        room = source_room(source_of(caller))
        return judge_cloudevents(
            mode, headers, body, limits, now, random_event_id, source_chars_max=room
        )
    except Unreadable as error:
        raise Problem(error.status, error.detail, errors=error.errors) from None


async def _rehearse(context: Context, caller: Caller, verdicts: Verdicts) -> None:
    """Records what a test key posted; it goes nowhere, and is answered as if it had."""
    await rehearsals.record(context, caller.key_id, verdicts)


def _records(
    context: Context, caller: Caller, headers: Mapping[bytes, bytes], verdicts: Verdicts
) -> Iterator[Outgoing]:
    """The records of one request: one a partition for what was accepted, and the refused ones."""
    source = source_of(caller)
    settings, sender = context.settings, context.resources.sender
    trace = headers.get(b"traceparent", b"")
    traced = ((TRACE_HEADER, trace),) if _TRACEPARENT(trace) else ()
    received_at, default_at = receipt_time(context.clock), default_time(context.clock)
    first = partial(
        bundle.header_line,
        request=context.resources.request_id(),
        received_at=received_at,
        default_at=default_at,
    )
    for named, accepted in bundle.by_source(source, verdicts) if verdicts.accepted else ():
        head = first(verdict="accepted", source=named, correction=verdicts.correction)
        for key, lines in bundle.group(
            accepted,
            lambda key: sender.partition_of(RECEIVED.name, key),
            settings.bundle_bytes_max,
        ):
            yield Outgoing(RECEIVED.name, key, bundle.pack(head, lines), traced)
    if verdicts.rejected:
        yield from _refusals(source, verdicts.rejected, first, settings, traced)


def _refusals(
    own: str,
    rejected: Sequence[Rejected],
    first: Callable[..., bytes],
    settings: Any,
    traced: tuple[tuple[str, bytes], ...],
) -> Iterator[Outgoing]:
    for named, several in bundle.refused_by_source(own, rejected):
        head = first(verdict="rejected", source=named)
        lines = [bundle.refused_line(one, settings.rejected_body_chars_max) for one in several]
        for part in bundle.chunks(lines, settings.bundle_bytes_max):
            yield Outgoing(RECEIVED.name, own.encode(), bundle.pack(head, part), traced)


class _Receipt:
    """The answer of a request that was taken, as an ASGI app that does nothing else."""

    __slots__ = ("_body", "_status")

    def __init__(self, body: bytes, status: int) -> None:
        self._body = body
        self._status = status

    async def __call__(self, _scope: Any, _receive: Any, send: Any) -> None:
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(self._body)),
        ]
        await send({"type": "http.response.start", "status": self._status, "headers": headers})
        await send({"type": "http.response.body", "body": self._body})


def told(verdicts: Verdicts) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """What was accepted and what was rejected, as answers show it."""
    accepted = [{"index": one.place, "id": one.id} for one in verdicts.accepted]
    rejected = [
        {"index": one.place, "id": one.id, "errors": list(one.errors)} for one in verdicts.rejected
    ]
    return accepted, rejected


def _receipt(verdicts: Verdicts, status: int) -> Any:
    accepted, rejected = told(verdicts)
    if accepted or not rejected:
        return _Receipt(orjson.dumps({"accepted": accepted, "rejected": rejected}), status)
    return problem_response(
        Problem(
            422,
            "no event was acceptable",
            errors=_first_errors(verdicts.rejected),
            accepted=accepted,
            rejected=rejected,
        )
    )


def _first_errors(rejected: Sequence[Rejected]) -> list[dict[str, str]]:
    return [error for one in rejected for error in one.errors][:_ERRORS_MAX]


def problem_of(error: Exception) -> Problem:
    """The answer to a failure of the intake itself: nothing was promised."""
    if isinstance(error, Busy):
        return unavailable("too much is under way; nothing was taken", _RETRY_AFTER_SECONDS)
    if isinstance(error, LogUnavailable | TimeoutError) or is_transient(error):
        return unavailable("not acknowledged in time; send the same events again")
    _log.error("intake failed", error=type(error).__name__, exc_info=error)
    return Problem(500, "an error on our side; it has been logged")


def source_of(caller: Caller) -> str:
    """What the events of a key come from."""
    return f"/sources/{caller.key_id}"


def _mode(headers: Mapping[bytes, bytes]) -> Mode | None:
    """How the events are carried: as CloudEvents, or (None) in our own form."""
    media_type = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    mode = mode_of(media_type, headers)
    if mode is None and media_type not in _JSON_TYPES:
        raise Problem(415, f"content-type must be one of {', '.join(CONTENT_TYPES)}")
    return mode


def _bearer(authorization: bytes) -> str:
    scheme, _, key = authorization.partition(b" ")
    return key.strip().decode("latin-1") if scheme.lower() == b"bearer" else ""


class Intake:
    """What the door has at hand while the service runs: its sender, limits, and a bucket a key."""

    def __init__(
        self,
        sender: Sender,
        in_force: InForce,
        body_limits: BodyLimits,
        events_per_second: float,
        burst_seconds: float,
        *,
        segment: Rules,
        identity: IdentityRules,
    ) -> None:
        self._segment = segment
        self.identity = identity  # the consumer's
        self.sender = sender
        self.in_force = in_force
        self.body_limits = body_limits
        self.request_id = serial_ids("req")
        self.rehearsing = asyncio.Semaphore(rehearsals.AT_ONCE)
        self._events_per_second = events_per_second
        self._burst_seconds = burst_seconds
        self._buckets: dict[str, Bucket] = {}
        self.pixel_warnings = Bucket.full(1 / 60, 60, monotonic_seconds())  # one a minute

    @property
    def limits(self) -> Limits:
        """What an event must obey at this moment, the tracking plan included."""
        return self.in_force.limits

    @property
    def rules(self) -> Rules:
        """What one of Segment's calls must obey at this moment."""
        return self._segment._replace(limits=self.limits)

    def bucket_of(self, key_id: str) -> Bucket:
        """The bucket of a key; only keys that exist get here, so there are few."""
        bucket = self._buckets.get(key_id)
        if bucket is None:
            if len(self._buckets) >= _BUCKETS_MAX:
                self._buckets.clear()
            bucket = Bucket.full(self._events_per_second, self._burst_seconds, monotonic_seconds())
            self._buckets[key_id] = bucket
        return bucket
