"""Requests and answers of the webhooks API."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, Field

from services.webhooks.domain.interest import PATTERNS_MAX, refusal
from services.webhooks.domain.target import URL_CHARS_MAX
from services.webhooks.handlers.catalogue import EventType
from services.webhooks.handlers.endpoints import LANES
from services.webhooks.store.rows import AttemptRow, DeliveryRow, EndpointRow
from shared.runtime.http import Body


def _pattern(pattern: str) -> str:
    reason = refusal(pattern)
    if reason is not None:
        raise ValueError(reason)
    return pattern


DeliveryStatus = Literal["pending", "delivered", "exhausted", "cancelled"]
Pattern = Annotated[str, Field(max_length=200), AfterValidator(_pattern)]
Patterns = Annotated[list[Pattern], Field(min_length=1, max_length=PATTERNS_MAX)]
Url = Annotated[str, Field(min_length=1, max_length=URL_CHARS_MAX, pattern=r"^[^\x00]*$")]
Description = Annotated[str, Field(max_length=1_000, pattern=r"^[^\x00]*$")]
Rate = Annotated[int, Field(ge=1, le=10_000, description="calls per second at most")]


class EndpointCreate(Body):
    """`event_types`: exact types, groups such as `points.*`, or `*`."""

    url: Url
    event_types: Patterns
    description: Description = ""
    rate_per_second: Rate | None = None


class EndpointPatch(Body):
    """Absent fields stay. `waiting`, with `enabled: true`: what becomes of deliveries that waited
    while the endpoint was disabled: sent after live traffic (`resume`), or not at all (`skip`)."""

    url: Url | None = None
    event_types: Patterns | None = None
    description: Description | None = None
    enabled: bool | None = None
    rate_per_second: Rate | None = None
    waiting: Literal["resume", "skip"] = "resume"


class RotateRequest(Body):
    """How long the old secret still signs along, in hours; the service's setting by default."""

    overlap_hours: Annotated[float, Field(ge=0, le=168)] | None = None


class TestRequest(Body):
    """Send the example of this type instead of a bare `endpoint.test`."""

    __test__ = False  # for pytest, this is not a test

    event_type: Annotated[str, Field(max_length=200)] | None = None


class Endpoint(BaseModel):
    """An endpoint, without its secret. `failures`: attempts failed in a row."""

    id: str
    url: str
    event_types: list[str]
    description: str
    rate_per_second: int | None
    enabled: bool
    disabled_at: datetime | None
    disabled_reason: str | None
    failing_since: datetime | None
    failures: int
    held_until: datetime | None
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, row: EndpointRow, **more: Any) -> Self:
        standing = row.standing
        return cls(
            id=row.id,
            url=row.url,
            event_types=list(row.event_types),
            description=row.description,
            rate_per_second=row.rate_per_second,
            enabled=standing.enabled,
            disabled_at=standing.disabled_at,
            disabled_reason=standing.disabled_reason,
            failing_since=standing.failing_since,
            failures=standing.failures,
            held_until=standing.held_until,
            created_at=row.created_at,
            updated_at=row.updated_at,
            **more,
        )


class EndpointCreated(Endpoint):
    """The one answer that has the signing secret: keep it."""

    secret: str


class Secret(BaseModel):
    """A new signing secret, shown once. The former ones sign along until `old_valid_until`."""

    secret: str
    old_valid_until: datetime


class Delivery(BaseModel):
    """One message to one endpoint. `attempts` counts calls; `lane` is `again` for what was sent
    again or waited while the endpoint was disabled."""

    id: str
    endpoint_id: str
    message_id: str
    event_id: str
    event_type: str
    status: DeliveryStatus
    lane: str
    attempts: int
    next_attempt_at: datetime | None
    reason: str | None
    created_at: datetime
    completed_at: datetime | None

    @classmethod
    def of(cls, row: DeliveryRow, **more: Any) -> Self:
        return cls(
            id=row.id,
            endpoint_id=row.endpoint_id,
            message_id=row.message_id,
            event_id=row.event_id,
            event_type=row.event_type,
            status=row.status,  # type: ignore[arg-type]  # a constraint of the table
            lane=LANES[row.lane],
            attempts=row.attempts,
            next_attempt_at=row.due_at if row.status == "pending" else None,
            reason=row.reason,
            created_at=row.created_at,
            completed_at=row.completed_at,
            **more,
        )


class Attempt(BaseModel):
    """One call. `failure` is null for a 2xx; `answer` is shown only when it came from a public
    address."""

    number: int
    at: datetime
    lane: str
    status_code: int | None
    failure: str | None
    duration_ms: int
    answer: str | None
    answer_bytes: int

    @classmethod
    def of(cls, row: AttemptRow) -> Self:
        return cls(
            number=row.number,
            at=row.at,
            lane=LANES[row.lane],
            status_code=row.status_code,
            failure=row.failure,
            duration_ms=row.duration_ms,
            answer=row.answer,
            answer_bytes=row.answer_bytes,
        )


class DeliveryDetail(Delivery):
    """A delivery with its calls and what is sent (null once it was erased)."""

    log: list[Attempt]
    payload: dict[str, Any] | None


class EventTypeView(BaseModel):
    """A type that endpoints can ask for."""

    type: str
    topic: str
    description: str
    schema_version: int
    data_schema: dict[str, Any]
    example: dict[str, Any] | None

    @classmethod
    def of(cls, one: EventType) -> Self:
        return cls(
            type=one.type,
            topic=one.topic,
            description=one.description,
            schema_version=one.schema_version,
            data_schema=one.data_schema,
            example=one.example,
        )
