"""A decision: what was decided about a customer, by which rule, and why in words."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

from services.campaigns.domain.intervention import Intervention
from shared.ids import derived_id

Stage = Literal["entry", "gate", "delivery", "person"]
_STAGES: tuple[Stage, ...] = get_args(Stage)
Outcome = Literal[
    "entered",
    "allowed",
    "not_entered",
    "sent",
    "held",
    "dropped",
    "failed",
    "retried",
    "approved",
    "dismissed",
]


@dataclass(frozen=True, slots=True)
class Decision:
    """`until`: when a held message is looked at again. `cause`: the event or timer behind it."""

    decision_id: str
    customer_id: str
    decided_at: datetime
    stage: Stage
    outcome: Outcome
    rule: str
    reason: str
    journey: str
    version: int
    cause: str
    step: str | None = None
    channel: str | None = None
    enrolment_id: str | None = None
    intervention_id: str | None = None
    until: datetime | None = None

    @property
    def rank(self) -> int:
        """The place among decisions of one instant: as things happen."""
        return _STAGES.index(self.stage)


def about(
    one: Intervention,
    stage: Stage,
    outcome: Outcome,
    rule: str,
    reason: str,
    at: datetime,
    *,
    until: datetime | None = None,
    ordinal: int = 0,
) -> Decision:
    """A decision on an intervention. `ordinal` tells repeated ones of a kind apart."""
    return Decision(
        decision_id=derived_id(one.intervention_id, f"{stage}:{outcome}:{rule}", ordinal),
        customer_id=one.customer_id,
        decided_at=at,
        stage=stage,
        outcome=outcome,
        rule=rule,
        reason=reason,
        journey=one.journey,
        version=one.version,
        cause=one.cause,
        step=one.step,
        channel=one.channel,
        enrolment_id=one.enrolment_id,
        intervention_id=one.intervention_id,
        until=until,
    )
