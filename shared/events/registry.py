"""From bytes to events: finds the class by type and version, upcasts old versions."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from shared.events.engagement import CustomEvent
from shared.events.envelope import Event
from shared.events.topics import TOPICS

EVENT_CLASSES: tuple[type[Event], ...] = tuple(
    dict.fromkeys(event for topic in TOPICS for event in topic.events)
)
BY_TYPE: Mapping[str, type[Event]] = {event.type_name(): event for event in EVENT_CLASSES}

Upcast = Callable[[dict[str, Any]], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Registry:
    """Classes by type, and (type, old version) → pure function to the next version's envelope."""

    classes: Mapping[str, type[Event]]
    upcasts: Mapping[tuple[str, int], Upcast] = field(default_factory=dict)

    def find(self, type_name: str) -> type[Event] | None:
        """The class of a type on the wire, if there is one."""
        found = self.classes.get(type_name)
        if found is None and type_name.startswith("custom."):
            return CustomEvent
        return found


REGISTRY = Registry(BY_TYPE)


class UnreadableEvent(ValueError):
    """A record that this version cannot read; the message says why, without personal data."""


class UnknownType(UnreadableEvent):
    """No class has this type."""


class FutureVersion(UnreadableEvent):
    """Written by a newer version of Tenure than this one."""


class InvalidEvent(UnreadableEvent):
    """Not JSON, or not of the shape its type promises."""


def class_of(type_name: str, registry: Registry = REGISTRY) -> type[Event]:
    """The class of a type on the wire; raises `UnknownType`."""
    found = registry.find(type_name)
    if found is None:
        raise UnknownType(f"unknown event type {type_name[:100]!r}")
    return found


def parse(value: bytes, type_name: str | None = None, registry: Registry = REGISTRY) -> Event:
    """Reads one event. `type_name` (from the record's header) saves looking for it.

    Raises `UnknownType`, `FutureVersion` or `InvalidEvent`.
    """
    event_class = registry.find(type_name) if type_name is not None else None
    if event_class is not None:
        try:
            event = event_class.model_validate_json(value)
        except ValidationError:
            return _parse_slowly(value, registry)
        if event.schemaversion == event_class.VERSION:
            return event
    return _parse_slowly(value, registry)


def _parse_slowly(value: bytes, registry: Registry) -> Event:
    envelope = _envelope(value)
    type_name, version = envelope.get("type"), envelope.get("schemaversion", 1)
    if not isinstance(type_name, str) or not isinstance(version, int) or version < 1:
        raise InvalidEvent("type must be a string and schemaversion a positive integer")
    event_class = class_of(type_name, registry)
    if version > event_class.VERSION:
        raise FutureVersion(
            f"{type_name} has schema version {version}, this version reads up to "
            f"{event_class.VERSION}: upgrade, then replay the dead letter"
        )
    for step in range(version, event_class.VERSION):
        envelope = registry.upcasts[type_name, step](envelope)
    try:
        return event_class.model_validate_json(json.dumps(envelope))
    except ValidationError as error:
        raise InvalidEvent(f"{type_name}: {describe(error)}") from None


def _envelope(value: bytes) -> dict[str, Any]:
    try:
        envelope = json.loads(value)
    except (ValueError, RecursionError) as error:
        raise InvalidEvent(f"not JSON: {type(error).__name__}") from None
    if not isinstance(envelope, dict):
        raise InvalidEvent("not a JSON object")
    return envelope


def describe(error: ValidationError) -> str:
    """The paths and reasons of a validation error, without the values."""
    return "; ".join(
        f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}"
        for problem in error.errors(include_url=False, include_input=False, include_context=False)
    )
