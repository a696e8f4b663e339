"""Refused events, judged again and published once.

1. In a transaction: lock what nobody else has in hand, judge it, take a lease, fix the ids.
2. With none open: publish as the door does, and wait for the broker's acknowledgement.
3. In a transaction: enter that it was done.

Whoever dies in between leaves a lease that ends. The next replay sends the same id from the same
source, which the consumer knows; where it has been counted already, nothing is sent.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, Literal

from services.ingest.domain import bundle, mending
from services.ingest.domain.segment.verdict import Rules
from services.ingest.domain.verdict import Accepted, Rejected
from services.ingest.handlers.receipt import receipt_time
from services.ingest.sender import Busy
from services.ingest.store import rejections, replays
from services.ingest.store.rejections import EVERY, Chosen, Rejection
from shared.events.topics import RECEIVED
from shared.runtime import inbox, metrics
from shared.runtime.db import Driver, Transaction
from shared.runtime.inbox import event_key
from shared.runtime.log import LogUnavailable, Outgoing
from shared.runtime.service import Context

Outcome = Literal[
    "replayed", "duplicate", "acceptable", "refused", "already_replayed", "in_progress", "missing"
]
_replayed_count = metrics.INTAKE_EVENTS.labels("replayed")


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of one rejection. `errors` have paths within the event."""

    id: str
    outcome: Outcome
    event_id: str | None = None
    errors: Sequence[dict[str, str]] = ()


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to replay: these ids, or without any the oldest `rows_max` of a choice after a
    position."""

    ids: Sequence[str] = ()
    chosen: Chosen = EVERY
    after: tuple[datetime, str] | None = None
    rows_max: int = 1


@dataclass(frozen=True, slots=True)
class Replay:
    """The outcomes, in the order asked for or oldest first; `last` is where the next part of a
    choice begins, None after the last one."""

    outcomes: Sequence[Replayed]
    last: tuple[datetime, str] | None


@dataclass(frozen=True, slots=True)
class _Ready:
    """One to be sent: `counted` says that its event was counted before, so it is not."""

    rejection: Rejection
    accepted: Accepted
    counted: bool


def judge(one: Rejection, text: str, rules: Rules, now: datetime) -> Accepted | Rejected:
    """What the door would say to `text` in the place of a refused event."""
    kept = mending.kept_id(one.event_id, one.replay_id)
    return mending.judge_again(
        text, kept=kept, source=one.source, rejection_id=one.id, rules=rules, now=now
    )


def text_of(one: Rejection) -> str:
    """What would be replayed: the correction, or what was sent."""
    return one.corrected if one.corrected is not None else one.body or ""


async def replay(context: Context, wanted: Wanted, by: str, *, dry_run: bool) -> Replay:
    """Replays what is wanted for the key `by`, or only tells what would come of it.

    Raises `LogUnavailable` or `Busy` when the broker did not take it; then nothing is marked.
    """
    now = receipt_time(context.clock)
    until = now + timedelta(seconds=context.settings.replay_lease_seconds)
    async with context.transaction() as tx:
        found = await _lock(tx, wanted, now)
        ready, refused = await _judged(tx.driver, found, context.resources.rules, now)
        if ready and not dry_run:
            ids = {one.rejection.id: one.accepted.id for one in ready}
            await replays.lease(tx.driver, ids, until)
        others = [one for one in wanted.ids if one not in {each.id for each in found}]
        states = await replays.states(tx.driver, others) if others else {}
    if ready and not dry_run:
        await _publish(context, ready, until)
        await _enter(context, ready, until, by)
    outcomes = {one.id: one for one in refused}
    outcomes |= {one.rejection.id: _outcome(one, dry_run=dry_run) for one in ready}
    outcomes |= {one: _elsewhere(one, states.get(one)) for one in others}
    order = wanted.ids or [one.id for one in found]
    last = found[-1] if not wanted.ids and len(found) == wanted.rows_max else None
    return Replay([outcomes[one] for one in order], (last.rejected_at, last.id) if last else None)


async def _lock(tx: Transaction, wanted: Wanted, now: datetime) -> list[Rejection]:
    if wanted.ids:
        return await replays.lock(tx.driver, wanted.ids, now)
    return await replays.lock_chosen(
        tx.driver, wanted.chosen, now, after=wanted.after, rows_max=wanted.rows_max
    )


async def _judged(
    driver: Driver, found: Sequence[Rejection], rules: Rules, now: datetime
) -> tuple[list[_Ready], list[Replayed]]:
    """Which of them may go, and what is wrong with the others."""
    passed: list[tuple[Rejection, Accepted]] = []
    refused: list[Replayed] = []
    for one in found:
        verdict = judge(one, text_of(one), rules, now)
        if isinstance(verdict, Accepted):
            passed.append((one, verdict))
        else:
            refused.append(Replayed(one.id, "refused", one.event_id, verdict.errors))
    keys = [event_key(one.source, accepted.id) for one, accepted in passed]
    counted = await inbox.seen(driver, keys) if keys else set()
    ready: list[_Ready] = []
    for (one, accepted), key in zip(passed, keys, strict=True):
        ready.append(_Ready(one, accepted, key in counted))
        counted.add(key)  # who sent it twice was refused twice
    return ready, refused


async def _publish(context: Context, ready: Sequence[_Ready], until: datetime) -> None:
    """Returns when the broker has all of them. When it says that it has not, they are free."""
    sender = context.resources.sender
    try:
        with sender.hold() as hold:
            records = _records(context, [one for one in ready if not one.counted])
            hold.take(sum(len(one.value or b"") for one in records))
            await context.failpoints.reach("effect.before_call")
            if records:
                await sender.write(records)
            await context.failpoints.reach("effect.after_call")
    except (LogUnavailable, Busy):
        async with context.transaction() as tx:
            await replays.release(tx.driver, [one.rejection.id for one in ready], until)
        raise


def _records(context: Context, ready: Sequence[_Ready]) -> list[Outgoing]:
    """As the door writes them: bundles of the first source, received now."""
    received_at = receipt_time(context.clock)
    records: list[Outgoing] = []
    for (source, default_at), several in groupby(ready, _origin):
        header = bundle.header_line(
            verdict="accepted",
            source=source,
            request=context.resources.request_id(),
            received_at=received_at,
            default_at=default_at,
        )
        for key, lines in bundle.group(
            [one.accepted for one in several],
            _partition(context),
            context.settings.bundle_bytes_max,
        ):
            records.append(Outgoing(RECEIVED.name, key, bundle.pack(header, lines)))
    return records


def _origin(one: _Ready) -> tuple[str, datetime]:
    return one.rejection.source, one.rejection.default_at or one.rejection.rejected_at


def _partition(context: Context) -> Any:
    return lambda key: context.resources.sender.partition_of(RECEIVED.name, key)


async def _enter(context: Context, ready: Sequence[_Ready], until: datetime, by: str) -> None:
    ids = [one.rejection.id for one in ready]
    async with context.transaction() as tx:
        await replays.done(tx.driver, ids, until, by=by, now=receipt_time(context.clock))
    _replayed_count.inc(sum(not one.counted for one in ready))


def _outcome(one: _Ready, *, dry_run: bool) -> Replayed:
    outcome: Outcome = "replayed"
    if one.counted:
        outcome = "duplicate"
    elif dry_run:
        outcome = "acceptable"
    return Replayed(one.rejection.id, outcome, one.accepted.id)


def _elsewhere(rejection_id: str, state: replays.State | None) -> Replayed:
    """One that could not be taken in hand."""
    if state is None:
        return Replayed(rejection_id, "missing")
    outcome: Outcome = "already_replayed" if state.replayed else "in_progress"
    return Replayed(rejection_id, outcome, state.replay_id)


async def correct(
    context: Context, one: Rejection, text: str, by: str
) -> tuple[bool, Sequence[dict[str, str]]]:
    """Puts a corrected event in the place of a refused one: whether that could be done, and what
    the door would still refuse in it."""
    now = receipt_time(context.clock)
    verdict = judge(one, text, context.resources.rules, now)
    async with context.transaction() as tx:
        stored = await rejections.correct(tx.driver, one.id, text, by=by, now=now)
    return stored, () if isinstance(verdict, Accepted) else verdict.errors
