"""Refused events, judged again and published once.

1. With no transaction open: judge what nobody else has in hand, letting others have their turn.
2. In a transaction: lock it, leave out what was corrected meanwhile, take a lease, fix the ids.
3. With none open: publish as the door does, and wait for the broker's acknowledgement.
4. In a transaction: enter that it was done.

Whoever dies in between leaves a lease that ends. The next replay sends the same id from the same
source, which the consumer knows; where it has been counted already, nothing is sent.
"""

import asyncio
from collections.abc import Mapping, Sequence
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
from services.ingest.store.replays import Found
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


class TooLarge(Exception):
    """The events that were asked for by id are together larger than one replay may be."""


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

    Raises `TooLarge`, and `LogUnavailable` or `Busy` when the broker did not take it; then nothing
    is marked.
    """
    now = receipt_time(context.clock)
    found, left_out = await _find(context, wanted, now)
    judged = await judge_all(found, context.resources.rules, now)
    order = wanted.ids or [one.id for one in found]
    until = receipt_time(context.clock) + timedelta(seconds=context.settings.replay_lease_seconds)
    async with context.transaction() as tx:
        same = await still(tx, found, now)
        ready, refused = await _sorted(tx.driver, same, judged)
        if ready and not dry_run:
            ids = {one.rejection.id: one.accepted.id for one in ready}
            await replays.lease(tx.driver, ids, until)
        others = [one for one in order if one not in {each.id for each in same}]
        states = await replays.states(tx.driver, others) if others else {}
    if ready and not dry_run:
        await _publish(context, ready, until)
        await _enter(context, ready, until, by)
    outcomes = {one.id: one for one in refused}
    outcomes |= {one.rejection.id: _outcome(one, dry_run=dry_run) for one in ready}
    outcomes |= {one: _elsewhere(one, states.get(one)) for one in others}
    goes_on = not wanted.ids and (left_out or len(found) == wanted.rows_max)
    last = found[-1] if found and goes_on else None
    return Replay([outcomes[one] for one in order], (last.rejected_at, last.id) if last else None)


async def _find(context: Context, wanted: Wanted, now: datetime) -> Found:
    bytes_max = context.settings.replay_bytes_max
    async with context.read() as session:
        if not wanted.ids:
            return await replays.choose(
                session.driver,
                wanted.chosen,
                now,
                after=wanted.after,
                rows_max=wanted.rows_max,
                bytes_max=bytes_max,
            )
        found = await replays.find(session.driver, wanted.ids, now, bytes_max)
    if found.left_out:
        raise TooLarge
    return found


async def judge_all(
    found: Sequence[Rejection], rules: Rules, now: datetime
) -> dict[str, Accepted | Rejected]:
    """The verdicts by rejection; between any two of them others have their turn."""
    verdicts = {}
    for one in found:
        verdicts[one.id] = judge(one, text_of(one), rules, now)
        await asyncio.sleep(0)
    return verdicts


async def still(tx: Transaction, found: Sequence[Rejection], now: datetime) -> list[Rejection]:
    """What is still to be replayed as it was judged, locked."""
    judged = {one.id: (text_of(one), one.replay_id) for one in found}
    locked = await replays.lock(tx.driver, list(judged), now) if judged else []
    return [one for one in locked if (text_of(one), one.replay_id) == judged[one.id]]


async def _sorted(
    driver: Driver, found: Sequence[Rejection], verdicts: Mapping[str, Accepted | Rejected]
) -> tuple[list[_Ready], list[Replayed]]:
    """Which of them may go, and what is wrong with the others."""
    passed: list[tuple[Rejection, Accepted]] = []
    refused: list[Replayed] = []
    for one in found:
        verdict = verdicts[one.id]
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
