"""The event types that endpoints can ask for, with schemas and examples from `shared.events`."""

import inspect
import json
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

from shared.events.envelope import Event
from shared.events.topics import PUBLIC_TOPICS


@dataclass(frozen=True, slots=True)
class EventType:
    """One type: `data_schema` is JSON Schema of the body's `data`; `example` is such data."""

    type: str
    topic: str
    description: str
    schema_version: int
    data_schema: dict[str, Any]
    example: dict[str, Any] | None


@lru_cache(maxsize=1)
def event_types() -> tuple[EventType, ...]:
    """All public types, by name."""
    found = [_describe(event, topic.name) for topic in PUBLIC_TOPICS for event in topic.events]
    return tuple(sorted(found, key=lambda one: one.type))


def example_of(event_type: str) -> dict[str, Any] | None:
    """Example data of a type, or None when there is no such type."""
    return next((one.example for one in event_types() if one.type == event_type), None)


def _describe(event: type[Event], topic: str) -> EventType:
    annotation = event.model_fields["data"].annotation
    assert annotation is not None
    return EventType(
        type=event.type_name(),
        topic=topic,
        description=inspect.cleandoc(event.__doc__ or ""),
        schema_version=event.VERSION,
        data_schema=annotation.model_json_schema(),
        example=_example(event),
    )


def _example(event: type[Event]) -> dict[str, Any] | None:
    """Data of the golden example of this type and version."""
    stem, version = event.type_name().removesuffix("*"), f".v{event.VERSION}.json"
    for one in sorted(files("shared.events").joinpath("examples").iterdir(), key=str):
        if one.name.startswith(stem) and one.name.endswith(version):
            data: dict[str, Any] = json.loads(one.read_text("utf-8"))["data"]
            return data
    return None
