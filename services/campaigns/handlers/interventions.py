"""What people decide about interventions: approve, or not."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from services.campaigns.domain import decision
from services.campaigns.domain.intervention import PENDING, Intervention, data_of
from services.campaigns.domain.person import is_erased
from services.campaigns.handlers.changes import Cause, tell
from services.campaigns.store import decisions, interventions, people
from shared.events.campaigns import InterventionApproved, InterventionDismissed
from shared.runtime.db import Transaction

_NO_LEASE = timedelta()


@dataclass(frozen=True, slots=True)
class TooLate:
    """It is no longer in a state where this can be decided."""

    state: str


async def approve(
    tx: Transaction, intervention_id: str, now: datetime
) -> Intervention | TooLate | None:
    """Lets a waiting intervention go to the gate; None when there is none. Twice is once."""
    one = await _locked(tx, intervention_id)
    if one is None or one.state == "planned":
        return one
    if one.state != "awaiting":
        return TooLate(one.state)
    approved = replace(one, state="planned", due_at=max(one.due_at, now))
    await _save(tx, approved, "approved", now)
    tell(tx, InterventionApproved, Cause(one.cause), one.customer_id, now, data_of(approved))
    return approved


async def dismiss(
    tx: Transaction, intervention_id: str, now: datetime
) -> Intervention | TooLate | None:
    """Calls off what has not left yet; None when there is none. Twice is once."""
    one = await _locked(tx, intervention_id)
    if one is None or one.state == "dismissed":
        return one
    if one.state not in PENDING or is_erased(one.customer_id):
        return TooLate(one.state)
    dismissed = replace(one, state="dismissed", rule="person")
    await _save(tx, dismissed, "dismissed", now)
    tell(tx, InterventionDismissed, Cause(one.cause), one.customer_id, now, data_of(dismissed))
    return dismissed


async def _locked(tx: Transaction, intervention_id: str) -> Intervention | None:
    """The intervention under the lock on its person."""
    found = await interventions.by_id(tx.driver, [intervention_id])
    if intervention_id not in found:
        return None
    await people.lock_known(tx.driver, [found[intervention_id].customer_id])
    return (await interventions.by_id(tx.driver, [intervention_id])).get(intervention_id)


async def _save(
    tx: Transaction, one: Intervention, outcome: decision.Outcome, now: datetime
) -> None:
    await interventions.save(tx.driver, [one], _NO_LEASE)
    reason = f"a person {outcome} it"
    await decisions.save(tx.driver, [decision.about(one, "person", outcome, "person", reason, now)])
