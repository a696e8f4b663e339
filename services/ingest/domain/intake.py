"""What a shop may post: one model per event type, made from the classes of the language.

The envelope at the door is smaller than the one on topics: `{id?, type, customer_id?,
anonymous_id?, occurred_at?, data, context?}`. Unknown fields are refused at the door only
(`validate_json(..., extra="forbid")`); the consumer, which may be older, passes over them.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, create_model

from shared.events.engagement import CustomData, CustomEvent, FlatProperties
from shared.events.envelope import Context, Data, Event, Instant, Name
from shared.events.topics import INTAKE

CUSTOM_PREFIX = "custom."
_YEAR_DIGITS = 4


def _rfc3339(value: Any) -> Any:
    """pydantic would read "20240101" as seconds since 1970; a time is written out at this door."""
    if isinstance(value, str) and value[_YEAR_DIGITS : _YEAR_DIGITS + 1] == "-":
        return value
    if value is None:
        return None
    raise ValueError("a time is a text in RFC 3339 with an offset, such as 2026-03-02T12:00:00Z")


OccurredAt = Annotated[Instant | None, BeforeValidator(_rfc3339)]


class IntakeEvent(BaseModel):
    """One event as a shop posts it. One of `customer_id` and `anonymous_id` is needed."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: Name | None = None
    type: str
    customer_id: Name | None = None
    anonymous_id: Name | None = None
    occurred_at: OccurredAt = None
    data: Any
    context: Context | None = None


def _model_of(event_class: type[Event]) -> type[IntakeEvent]:
    name = f"{event_class.__name__}Intake"
    if event_class is CustomEvent:
        pattern = event_class.model_fields["type"].metadata[0].pattern
        kind: Any = Annotated[str, Field(pattern=pattern)]
        data: Any = FlatProperties
    else:
        kind = Literal[event_class.type_name()]
        data = event_class.model_fields["data"].annotation
    model: type[IntakeEvent] = create_model(
        name, __base__=IntakeEvent, __doc__=event_class.__doc__, type=(kind, ...), data=(data, ...)
    )
    return model


MODEL_OF: Mapping[type[Event], type[IntakeEvent]] = {one: _model_of(one) for one in INTAKE}
_CUSTOM = re.compile(CustomEvent.model_fields["type"].metadata[0].pattern).fullmatch
_CLASS_OF: Mapping[str, type[Event]] = {one.type_name(): one for one in INTAKE}


def _any_intake() -> Any:
    """One of all types, told apart by `type`; `custom.<name>` is tried when no other fits."""
    named: Any = reduce(or_, (one for kind, one in MODEL_OF.items() if kind is not CustomEvent))
    tagged: Any = Annotated[named, Field(discriminator="type")]
    return Annotated[tagged | MODEL_OF[CustomEvent], Field(union_mode="left_to_right")]


if TYPE_CHECKING:
    AnyIntake = IntakeEvent
else:
    AnyIntake = _any_intake()


class IntakeBatch(BaseModel):
    """Several events in one request, in the order in which they happened.

    `sent_at` is when the client sent them, by its own clock: where that is minutes off, the times
    of the events are corrected by as much.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    events: Annotated[list[AnyIntake], Field(min_length=1)]
    sent_at: OccurredAt = None


ONE: TypeAdapter[IntakeEvent] = TypeAdapter(AnyIntake)
SENT_AT: TypeAdapter[datetime | None] = TypeAdapter(OccurredAt)
BATCH: TypeAdapter[IntakeBatch] = TypeAdapter(IntakeBatch)


def class_of(type_name: str) -> type[Event] | None:
    """The class of an event type that may be posted; None for any other."""
    if type_name.startswith(CUSTOM_PREFIX):
        return CustomEvent
    return _CLASS_OF.get(type_name)


def may_be_posted(type_name: str) -> bool:
    """Whether events of this very type are taken at the door."""
    return (
        type_name in _CLASS_OF
        if class_of(type_name) is not CustomEvent
        else bool(_CUSTOM(type_name))
    )


def model_of(type_name: str) -> type[IntakeEvent] | None:
    """The door's model of an event type, or None."""
    found = class_of(type_name)
    return MODEL_OF[found] if found is not None else None


def to_line(event: IntakeEvent) -> bytes:
    """Compact JSON on one line, with what was sent and nothing else: the same event, however it
    was spelled, gives the same bytes."""
    return event.__pydantic_serializer__.to_json(event, exclude_unset=True, exclude_none=True)


def payload_of(event: IntakeEvent) -> Data:
    """The `data` of the event on topics: free properties get their place, context moves in."""
    data: Data = event.data
    if event.type.startswith(CUSTOM_PREFIX):
        data = CustomData.model_construct(properties=event.data)
    if event.context is not None:
        data = data.model_copy(update={"context": event.context})
    return data
