"""Collects what a batch decides, so that each table is written once at its end."""

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime

from services.campaigns import rules
from services.campaigns.domain import decision, journey
from services.campaigns.domain.attribution import Order
from services.campaigns.domain.decision import Decision
from services.campaigns.domain.definition import Definition
from services.campaigns.domain.intervention import Intervention, data_of, planned
from services.campaigns.domain.journey import Advance, Enrolment, Leave, Plan
from services.campaigns.handlers.equipment import SOURCE
from services.campaigns.store import decisions, interventions, journeys
from shared.events.campaigns import (
    InterventionConverted,
    InterventionPlanned,
    JourneyData,
    JourneyLeft,
)
from shared.events.envelope import Data, Event
from shared.ids import CustomerId, derived_event_id
from shared.runtime.db import Transaction


@dataclass(frozen=True, slots=True)
class Cause:
    """What led to something: an event of ours, a timer by a made-up name, or a shop's event.

    Ids that shops choose are unique per source only, so those come with their `origin`.
    """

    event_id: str
    origin: str = ""


def by_shop(event: Event) -> Cause:
    """The cause that an event of `ingest.events` is."""
    return Cause(event.id, event.source)


@dataclass(slots=True)
class Changes:
    """Everything to be saved and told by one handler call."""

    tx: Transaction
    enrolments: dict[str, Enrolment] = field(default_factory=dict)
    planned: list[Intervention] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    _ordinals: "Counter[tuple[Cause, str]]" = field(default_factory=Counter)

    def ordinal(self, cause: Cause, kind: type[Event]) -> int:
        """The next free ordinal of a type among the events of one cause."""
        key = (cause, kind.type_name())
        self._ordinals[key] += 1
        return self._ordinals[key] - 1

    def tell(
        self, kind: type[Event], cause: Cause, customer: str, at: datetime, data: Data
    ) -> None:
        """Publishes an event of a cause that this handler call alone deals with."""
        tell(self.tx, kind, cause, customer, at, data, ordinal=self.ordinal(cause, kind))

    def go(self, version: Definition, moved: Advance, cause: Cause, at: datetime) -> None:
        """Carries out what a step forward asks for."""
        self.enrolments[moved.enrolment.enrolment_id] = moved.enrolment
        for action in moved.actions:
            if isinstance(action, Plan):
                self._plan(version, moved.enrolment, action, cause, at)
            else:
                self._leave(moved.enrolment, action, cause, at)

    def _plan(
        self, version: Definition, enrolment: Enrolment, plan: Plan, cause: Cause, at: datetime
    ) -> None:
        one = planned(enrolment, plan, version.purpose, cause.event_id, at)
        ordinal = self.ordinal(cause, InterventionPlanned)
        customer = enrolment.customer_id
        told = tell(
            self.tx, InterventionPlanned, cause, customer, at, data_of(one), ordinal=ordinal
        )
        self.planned.append(replace(one, cause=told.id))

    def _leave(self, enrolment: Enrolment, leave: Leave, cause: Cause, at: datetime) -> None:
        data = journey_data(enrolment, leave.reason)
        self.tell(JourneyLeft, cause, enrolment.customer_id, at, data)

    async def save(self) -> None:
        """One statement per table."""
        await journeys.save(self.tx.driver, list(self.enrolments.values()))
        await interventions.plan(self.tx.driver, self.planned)
        await decisions.save(self.tx.driver, self.decisions)


def tell(
    tx: Transaction,
    kind: type[Event],
    cause: Cause,
    customer: str,
    at: datetime,
    data: Data,
    *,
    ordinal: int = 0,
) -> Event:
    """Publishes an event. Written down as of `at` too: batch borders must not show in it."""
    event = kind.caused_by(
        cause.event_id,
        source=SOURCE,
        subject=CustomerId(customer),
        time=at,
        recordedtime=at,
        data=data,
        ordinal=ordinal,
        origin=cause.origin,
    )
    tx.publish(event)
    return event


def journey_data(enrolment: Enrolment, reason: str) -> JourneyData:
    return JourneyData(
        enrolment_id=enrolment.enrolment_id,
        journey=enrolment.journey,
        journey_version=enrolment.version,
        reason=reason,
    )


def start(version: Definition, enrolment: Enrolment, at: datetime) -> Advance:
    """The first steps of a customer who has just entered."""
    return journey.advance(version, enrolment, journey.Started(), at, rules.judge)


def converted(tx: Transaction, one: Intervention, order: Order) -> Intervention:
    """The intervention with its success, which is told as caused by the order."""
    done = replace(one, converted_at=order.at, value=order.total, currency=order.currency)
    reason = f"order {order.order_id} came within the time after it"
    data = data_of(done, reason=reason, value=order.total, currency=order.currency)
    cause = Cause(order.event_id, order.source)
    tell(tx, InterventionConverted, cause, one.customer_id, order.at, data)
    return done


def entry_decision(
    version: Definition,
    event: Event,
    at: datetime,
    outcome: decision.Outcome,
    rule: str,
    reason: str,
    *,
    enrolment_id: str | None = None,
) -> Decision:
    """Whether a threshold let somebody into a journey: written down for every threshold."""
    return Decision(
        decision_id=derived_event_id(event.id, f"entry:{version.journey}"),
        customer_id=event.subject,
        decided_at=at,
        stage="entry",
        outcome=outcome,
        rule=rule,
        reason=reason,
        journey=version.journey,
        version=version.version,
        cause=event.id,
        enrolment_id=enrolment_id,
    )
