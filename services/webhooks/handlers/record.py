"""Records how calls ended, decides what follows, and tells operators."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, assert_never

from services.webhooks.domain.delivery import (
    Done,
    GiveUp,
    Outcome,
    Retry,
    Step,
    jitter_of,
    next_step,
)
from services.webhooks.domain.interest import OPERATOR_TYPES
from services.webhooks.domain.standing import Standing, Tell, judge
from services.webhooks.handlers.courier import Finished
from services.webhooks.store import endpoints, leases
from services.webhooks.store.leases import Logged, State
from shared.events.envelope import Event
from shared.events.webhooks import (
    DeliveryExhausted,
    DeliveryFailing,
    DeliveryRecovered,
    DeliveryStateData,
    EndpointDisabled,
    EndpointDisabledData,
)
from shared.ids import CustomerId, DeliveryId, EndpointId
from shared.runtime.db import Transaction

SOURCE = "/webhooks"
_DELIVERY_EVENTS: dict[Tell, type[Event]] = {
    "failing": DeliveryFailing,
    "exhausted": DeliveryExhausted,
    "recovered": DeliveryRecovered,
}


@dataclass(slots=True)
class _Books:
    """The rows of a batch while outcomes are entered one after the other."""

    standings: dict[EndpointId, Standing]
    states: dict[DeliveryId, State]
    logged: list[Logged]


async def record(tx: Transaction, ended: Sequence[Finished], settings: Any, now: datetime) -> None:
    """Enters outcomes in the order in which they came; one load and one save per table."""
    books = _Books(
        await endpoints.lock_standings(
            tx.driver, sorted({one.call.lease.endpoint_id for one in ended})
        ),
        await leases.lock_states(tx.driver, [one.call.lease.id for one in ended]),
        [],
    )
    for one in ended:
        if one.call.lease.id in books.states:
            tx.publish_all(_enter(books, one, settings, now))
    await leases.save(tx.driver, books.states, books.logged)
    await endpoints.save_standings(tx.driver, books.standings)


def _enter(books: _Books, one: Finished, settings: Any, now: datetime) -> Sequence[Event]:
    """Enters one outcome; returns what operators should hear.

    An outcome that comes after its lease ran out is history only, except a success: the receiver
    has it, whoever sent it.
    """
    lease, outcome = one.call.lease, one.outcome
    before = books.states[lease.id]
    state = replace(before, attempts=before.attempts + 1)
    if state.status == "cancelled":
        outcome = replace(outcome, answer=None)
    books.logged.append(Logged(lease.id, state.attempts, one.call.at, lease.lane, outcome))
    in_force = state.leases == lease.leases or outcome.failure is None
    if state.status != "pending" or not in_force:
        books.states[lease.id] = state
        return ()
    state = replace(state, tries=state.tries + 1)
    jitter = jitter_of(lease.id, state.attempts)
    step = next_step(state.tries, outcome, now, jitter, settings.schedule)
    books.states[lease.id] = _after(step, state, outcome, now)
    standing, tells = judge(
        books.standings[lease.endpoint_id], outcome, step, state.tries, now, settings.disable_rule
    )
    books.standings[lease.endpoint_id] = standing
    told = [_told(tell, one, state.attempts, standing, now) for tell in tells]
    return [event for event in told if event is not None]


def _after(step: Step, state: State, outcome: Outcome, now: datetime) -> State:
    if isinstance(step, Done):
        return replace(state, status="delivered", reason=None, completed_at=now)
    if isinstance(step, Retry):
        return replace(state, due_at=step.at, reason=outcome.summary)
    if isinstance(step, GiveUp):
        return replace(state, status="exhausted", reason=step.reason, completed_at=now)
    assert_never(step)


def _told(
    tell: Tell, one: Finished, attempts: int, standing: Standing, now: datetime
) -> Event | None:
    """The operator event; None for trouble with telling of trouble, which would never end."""
    lease = one.call.lease
    cause = f"{lease.id}:{attempts}"
    subject = CustomerId(lease.endpoint_id)
    if tell == "disabled":
        reason = standing.disabled_reason or ""
        return EndpointDisabled.caused_by(
            cause,
            source=SOURCE,
            subject=subject,
            time=now,
            recordedtime=now,
            data=EndpointDisabledData(endpoint_id=lease.endpoint_id, reason=reason),
        )
    if lease.event_type in OPERATOR_TYPES:
        return None
    return _DELIVERY_EVENTS[tell].caused_by(
        cause,
        source=SOURCE,
        subject=subject,
        time=now,
        recordedtime=now,
        data=DeliveryStateData(
            endpoint_id=lease.endpoint_id,
            delivery_id=lease.id,
            event_type=lease.event_type,
            attempts=attempts,
            reason=one.outcome.summary,
        ),
    )
