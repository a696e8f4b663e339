"""Which endpoints want an event: exact types, `points.*`, or `*` for all."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from shared.events.registry import BY_TYPE
from shared.events.topics import PUBLIC_TOPICS
from shared.ids import EndpointId

EVERYTHING = "*"
PATTERNS_MAX = 100
_FORM = re.compile(r"^[a-z0-9_]+(\.[a-z0-9_]+)*(\.\*)?$")
_CUSTOM = re.compile(r"^custom\.[a-z0-9_]{1,80}$")
PUBLIC_TYPES: tuple[str, ...] = tuple(
    event.type_name() for topic in PUBLIC_TOPICS for event in topic.events
)
# These are about endpoints, so they must not be told to the endpoint in question, nor may failing
# to tell them be told in turn.
OPERATOR_TYPES = frozenset(
    event.type_name()
    for topic in PUBLIC_TOPICS
    if topic.key == "endpoint"
    for event in topic.events
)
assert frozenset(PUBLIC_TYPES) <= BY_TYPE.keys()


@dataclass(frozen=True, slots=True)
class Interest:
    """What one endpoint asked for."""

    endpoint_id: EndpointId
    patterns: tuple[str, ...]


def refusal(pattern: str) -> str | None:
    """Why a pattern can never match, or None. A typing error is better told than kept."""
    if pattern == EVERYTHING or _CUSTOM.match(pattern):
        return None
    if not _FORM.match(pattern):
        return "a type such as points.awarded, a group such as points.*, or *"
    if any(matches(pattern, known) for known in PUBLIC_TYPES):
        return None
    return "no event has this type; GET /v1/event-types lists them"


def matches(pattern: str, event_type: str) -> bool:
    """`points.*` matches what begins with `points.`; `*` matches everything."""
    if pattern == EVERYTHING:
        return True
    if pattern.endswith(".*"):
        return event_type.startswith(pattern[:-1])
    return pattern == event_type


class Directory:
    """The interests of one moment, asked once per type of a batch."""

    def __init__(self, interests: Iterable[Interest]) -> None:
        self._interests: Sequence[Interest] = tuple(interests)
        self._by_type: dict[str, tuple[EndpointId, ...]] = {}

    def wanting(self, event_type: str, subject: str) -> tuple[EndpointId, ...]:
        """The endpoints to tell; never the one that an operator event is about."""
        found = self._by_type.get(event_type)
        if found is None:
            found = tuple(
                one.endpoint_id
                for one in self._interests
                if any(matches(pattern, event_type) for pattern in one.patterns)
            )
            self._by_type[event_type] = found
        if event_type in OPERATOR_TYPES:
            return tuple(endpoint for endpoint in found if endpoint != subject)
        return found
