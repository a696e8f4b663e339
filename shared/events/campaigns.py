"""What campaigns tells: journeys, interventions and the tasks given to people."""

from typing import Literal

from shared.events.envelope import (
    Currency,
    Data,
    Event,
    Instant,
    Line,
    Name,
    SignedAmount,
)

InterventionChannel = Literal["email", "sms", "push", "webhook", "in_app", "task"]


class InterventionData(Data):
    """One intervention. `reason` says in words why it is made, held or not made."""

    intervention_id: Name
    journey: Name
    journey_version: int
    step: Name
    channel: InterventionChannel
    template: Name | None = None
    offer: Name | None = None
    reason: Line
    rule: Name | None = None
    not_before: Instant | None = None
    message_id: Name | None = None
    value: SignedAmount | None = None
    currency: Currency | None = None


class InterventionPlanned(Event):
    """Somebody shall be contacted, if the gate lets it through."""

    type: Literal["intervention.planned"] = "intervention.planned"
    data: InterventionData


class InterventionApproved(Event):
    """A person approved an intervention that waited for it."""

    type: Literal["intervention.approved"] = "intervention.approved"
    data: InterventionData


class InterventionSent(Event):
    """The provider took the message, or the task is in somebody's list."""

    type: Literal["intervention.sent"] = "intervention.sent"
    data: InterventionData


class InterventionFailed(Event):
    """The provider refused for good."""

    type: Literal["intervention.failed"] = "intervention.failed"
    data: InterventionData


class InterventionSuppressed(Event):
    """The gate stopped it: `rule` names what did (consent, cap, quiet hours, stale, …)."""

    type: Literal["intervention.suppressed"] = "intervention.suppressed"
    data: InterventionData


class InterventionDismissed(Event):
    """A person decided against it."""

    type: Literal["intervention.dismissed"] = "intervention.dismissed"
    data: InterventionData


class InterventionConverted(Event):
    """The customer did what the intervention was for."""

    type: Literal["intervention.converted"] = "intervention.converted"
    data: InterventionData


class JourneyData(Data):
    enrolment_id: Name
    journey: Name
    journey_version: int
    reason: Line


class JourneyEntered(Event):
    """A customer entered a journey."""

    type: Literal["journey.entered"] = "journey.entered"
    data: JourneyData


class JourneyLeft(Event):
    """A customer left a journey."""

    type: Literal["journey.left"] = "journey.left"
    data: JourneyData


class TaskData(Data):
    task_id: Name
    intervention_id: Name
    assignee: Line
    title: Line
    due_at: Instant
    outcome: Name | None = None


class TaskCreated(Event):
    """A person got something to do for a customer."""

    type: Literal["task.created"] = "task.created"
    data: TaskData


class TaskDone(Event):
    """The person did it."""

    type: Literal["task.done"] = "task.done"
    data: TaskData


CAMPAIGNS = (
    InterventionPlanned,
    InterventionApproved,
    InterventionSent,
    InterventionFailed,
    InterventionSuppressed,
    InterventionDismissed,
    InterventionConverted,
    JourneyEntered,
    JourneyLeft,
    TaskCreated,
    TaskDone,
)
