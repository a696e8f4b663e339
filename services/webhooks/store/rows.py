"""What the other files of the store have in common: the driver's type and the rows it returns."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias

import asyncpg

from services.webhooks.domain.standing import Standing
from shared.ids import DeliveryId, EndpointId

Driver: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Waiting = Literal["resume", "skip"]


@dataclass(frozen=True, slots=True)
class EndpointRow:
    """An endpoint as stored."""

    id: EndpointId
    url: str
    event_types: tuple[str, ...]
    description: str
    rate_per_second: int | None
    standing: Standing
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class Backlog:
    """What is to become of an endpoint's deliveries that waited `until` it was enabled."""

    endpoint_id: EndpointId
    waiting: Waiting
    until: datetime


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """A delivery as stored, with what its message says of the event."""

    id: DeliveryId
    endpoint_id: EndpointId
    message_id: str
    event_id: str
    event_type: str
    status: str
    lane: int
    due_at: datetime
    attempts: int
    reason: str | None
    created_at: datetime
    completed_at: datetime | None


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """One call as it was logged."""

    number: int
    at: datetime
    lane: int
    status_code: int | None
    failure: str | None
    duration_ms: int
    answer: str | None
    answer_bytes: int


def standing_of(row: Any) -> Standing:
    """The standing in a row of endpoints."""
    return Standing(
        enabled=row["enabled"],
        failing_since=row["failing_since"],
        failures=row["failures"],
        reported=row["reported"],
        held_until=row["held_until"],
        disabled_at=row["disabled_at"],
        disabled_reason=row["disabled_reason"],
    )
