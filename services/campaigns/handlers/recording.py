"""Records what became of claims, decides what follows, and tells."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from services.campaigns.domain import decision
from services.campaigns.domain.attribution import Order, first_order
from services.campaigns.domain.decision import Decision
from services.campaigns.domain.intervention import Intervention, data_of
from services.campaigns.domain.person import is_erased
from services.campaigns.domain.sending import Done, GiveUp, NextStep, Outcome, Retry, next_step
from services.campaigns.handlers.changes import Cause, converted, tell
from services.campaigns.handlers.claiming import Claimed
from services.campaigns.store import decisions, interventions, people
from shared.events.campaigns import InterventionFailed, InterventionSent
from shared.runtime.db import Transaction

_CHANCES = 10_000


@dataclass(frozen=True, slots=True)
class _Ended:
    """A claim's intervention as it is after the outcome, and what follows."""

    one: Intervention
    step: NextStep
    allowed_because: str


async def record(tx: Transaction, outcomes: Sequence[tuple[Claimed, Outcome]]) -> None:
    """Writes down what became of claims that are still ours: one statement per table."""
    wall = await interventions.database_now(tx.driver)
    await people.lock_known(tx.driver, (one.intervention.customer_id for one, _ in outcomes))
    ended = [_ended(claimed, outcome, wall) for claimed, outcome in outcomes]
    # Where the lease ran out and somebody else went on, or the person was erased, nothing is told.
    kept = await interventions.save_if_claimed(
        tx.driver,
        [(one.one, one.step.at if isinstance(one.step, Retry) else None) for one in ended],
    )
    ours = [
        one
        for one in ended
        if one.one.intervention_id in kept and not is_erased(kept[one.one.intervention_id])
    ]
    sent = [one.one for one in ours if isinstance(one.step, Done)]
    notes = [_tell(tx, one) for one in ours]
    await _credit(tx, sent)
    await decisions.save(tx.driver, notes)


def _ended(claimed: Claimed, outcome: Outcome, wall: datetime) -> _Ended:
    before = claimed.intervention
    one = replace(before, attempts=before.attempts + 1)
    step = next_step(one.attempts, outcome, wall, _chance(one))
    if isinstance(step, Done):
        one = replace(one, state="sent")
    elif isinstance(step, GiveUp):
        one = replace(one, state="failed", rule="delivery", reason=step.reason)
    return _Ended(one, step, claimed.reason)


def _tell(tx: Transaction, ended: _Ended) -> Decision:
    """Publishes what the world should hear; answers the row that tells why."""
    one, step = ended.one, ended.step
    assert one.sent_at is not None
    if isinstance(step, Done):
        tell(tx, InterventionSent, Cause(one.cause), one.customer_id, one.sent_at, data_of(one))
        return _note(one, "sent", f"the provider took it; {ended.allowed_because}")
    if isinstance(step, GiveUp):
        data = data_of(one, reason=step.reason, rule="delivery")
        tell(tx, InterventionFailed, Cause(one.cause), one.customer_id, one.sent_at, data)
        return _note(one, "failed", step.reason)
    return _note(one, "retried", step.reason, until=step.at)


async def _credit(tx: Transaction, sent: Sequence[Intervention]) -> None:
    """On the event clock orders may have come before the sending was recorded."""
    if not sent:
        return
    persons = await people.find(tx.driver, (one.customer_id for one in sent))
    since = min(one.sent_at for one in sent if one.sent_at is not None)
    ids = people.all_ids(persons.values())
    orders = await interventions.open_orders(tx.driver, ids, since)
    won: list[Intervention] = []
    credited: list[Order] = []
    for one in sent:
        own = [order for order in orders if order.customer_id in persons[one.customer_id].ids]
        order = first_order(one, own)
        if order is not None:
            orders.remove(order)
            won.append(converted(tx, one, order))
            credited.append(order)
    await interventions.save_conversions(tx.driver, won)
    await interventions.credit(tx.driver, credited)


def _note(
    one: Intervention, outcome: decision.Outcome, reason: str, until: datetime | None = None
) -> Decision:
    assert one.sent_at is not None
    return decision.about(
        one,
        "delivery",
        outcome,
        "delivery",
        reason,
        one.sent_at,
        until=until,
        ordinal=one.attempts,
    )


def _chance(one: Intervention) -> float:
    """Spreads retries, the same way whenever it is asked: taken from the id and the attempt."""
    return (int(one.intervention_id.replace("-", "")[:12], 16) + one.attempts) % _CHANCES / _CHANCES
