"""An intervention: what is planned for one customer, and what became of it."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal

from services.campaigns.domain.journey import Enrolment, Plan
from shared.events.campaigns import InterventionData
from shared.ids import derived_id

InterventionState = Literal[
    "awaiting", "planned", "held", "sending", "sent", "failed", "suppressed", "dismissed"
]
# Nothing has left yet, so it can still be called off.
PENDING: frozenset[InterventionState] = frozenset({"awaiting", "planned", "held"})


@dataclass(frozen=True, slots=True)
class Intervention:
    """One row of the plan. `due_at` moves when the gate holds it; `cause` is its planned event.

    `addressee_id` is the id whose address a message went to, where that is not `customer_id`.
    """

    intervention_id: str
    customer_id: str
    journey: str
    version: int
    enrolment_id: str
    step: str
    channel: str
    purpose: str
    state: InterventionState
    reason: str
    cause: str
    planned_at: datetime
    due_at: datetime
    not_after: datetime
    template: str | None = None
    offer: str | None = None
    title: str | None = None
    task_due_at: datetime | None = None
    rule: str | None = None
    claims: int = 0
    attempts: int = 0
    message_id: str | None = None
    sent_at: datetime | None = None
    convert_until: datetime | None = None
    converted_at: datetime | None = None
    value: Decimal | None = None
    currency: str | None = None
    addressee_id: str | None = None


def intervention_id(journey: str, version: int, enrolment: str, step: str, channel: str) -> str:
    """One id per (journey, version, enrolment, step, channel): the key that sends only once."""
    return derived_id(
        "\x1f".join((journey, str(version), enrolment, step, channel)), "intervention"
    )


def planned(
    enrolment: Enrolment, plan: Plan, purpose: str, cause: str, now: datetime
) -> Intervention:
    """The intervention that a journey's step asks for."""
    return Intervention(
        intervention_id=intervention_id(
            enrolment.journey, enrolment.version, enrolment.enrolment_id, plan.step, plan.channel
        ),
        customer_id=enrolment.customer_id,
        journey=enrolment.journey,
        version=enrolment.version,
        enrolment_id=enrolment.enrolment_id,
        step=plan.step,
        channel=plan.channel,
        purpose=purpose,
        state="awaiting" if plan.needs_approval else "planned",
        reason=plan.reason,
        cause=cause,
        planned_at=now,
        due_at=plan.due_at,
        not_after=plan.not_after,
        template=plan.template,
        offer=plan.offer,
        title=plan.title,
        task_due_at=plan.task_due_at,
    )


def data_of(
    one: Intervention,
    *,
    reason: str | None = None,
    rule: str | None = None,
    value: Decimal | None = None,
    currency: str | None = None,
) -> InterventionData:
    """What its events say of an intervention."""
    return InterventionData.model_validate(
        {
            "intervention_id": one.intervention_id,
            "journey": one.journey,
            "journey_version": one.version,
            "step": one.step,
            "channel": one.channel,
            "template": one.template,
            "offer": one.offer,
            "reason": (reason or one.reason)[:1_000],
            "rule": rule,
            "not_before": one.due_at,
            "message_id": one.message_id,
            "value": value,
            "currency": currency,
        }
    )
