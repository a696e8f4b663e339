"""What events look like: which fields they have, of which kinds and how often; never a value.

From it follows a draft of a tracking plan. All is bounded: fields of a type, members of a list,
depth. A name that does not look like one (an address as a key, say) is not kept.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, NamedTuple

FIELDS_MAX = 200
TYPES_MAX = 200
_MEMBERS_MAX = 20
_DEPTH_MAX = 6
_NAME = re.compile(r"[A-Za-z_$][A-Za-z0-9_$-]{0,63}").fullmatch
_MEMBER = "*"
# Fewer events say nothing about what is always there.
_PRESENCE_MIN = 20


class Look(NamedTuple):
    """A field of a type as it was seen: `field` is dotted within `data`, empty for `data` itself,
    with `*` for the members of a list; `kind` is a type of JSON Schema."""

    event_type: str
    field: str
    kind: str


class Observed:
    """What was seen since it was last taken."""

    def __init__(self) -> None:
        self._seen: Counter[Look] = Counter()
        self._fields: dict[str, set[str]] = {}

    def add(self, event_type: str, data: Any) -> None:
        """Looks at the `data` of one event."""
        if event_type not in self._fields and len(self._fields) >= TYPES_MAX:
            return
        known = self._fields.setdefault(event_type, set())
        for field, kind in _looks("", data, 1):
            if field not in known:
                if len(known) >= FIELDS_MAX:
                    continue
                known.add(field)
            self._seen[Look(event_type, field, kind)] += 1

    def take(self) -> dict[Look, int]:
        """How often each was seen; begins anew."""
        taken = dict(self._seen)
        self._seen.clear()
        self._fields.clear()
        return taken


def draft(seen: Mapping[Look, int]) -> dict[str, Any]:
    """A plan in mode `warn` that everything seen obeys: kinds of fields, and as required what has
    been there every time."""
    by_type: dict[str, dict[str, Counter[str]]] = {}
    for look, times in seen.items():
        by_type.setdefault(look.event_type, {}).setdefault(look.field, Counter())[look.kind] += (
            times
        )
    types = {
        kind: {"mode": "warn", "schema": _schema("", fields)}
        for kind, fields in sorted(by_type.items())
        if "" in fields
    }
    return {"unplanned": "allow", "types": types}


def _looks(field: str, value: Any, depth: int) -> Iterable[tuple[str, str]]:
    yield field, _kind(value)
    if depth >= _DEPTH_MAX:
        return
    prefix = f"{field}." if field else ""
    if isinstance(value, dict):
        for name, inner in islice(value.items(), FIELDS_MAX):
            if _NAME(name):
                yield from _looks(f"{prefix}{name}", inner, depth + 1)
    elif isinstance(value, list):
        for inner in value[:_MEMBERS_MAX]:
            yield from _looks(f"{prefix}{_MEMBER}", inner, depth + 1)


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def _schema(field: str, fields: Mapping[str, Counter[str]]) -> dict[str, Any]:
    kinds = fields[field]
    names = sorted(kinds.keys() - ({"integer"} if "number" in kinds else set()))
    made: dict[str, Any] = {"type": names[0] if len(names) == 1 else names}
    prefix = f"{field}." if field else ""
    inner = [
        one for one in fields if one.startswith(prefix) and one and "." not in one[len(prefix) :]
    ]
    named = sorted(one for one in inner if not one.endswith(_MEMBER))
    if named:
        made["properties"] = {one[len(prefix) :]: _schema(one, fields) for one in named}
        objects = kinds["object"]
        always = [
            one for one in named if objects >= _PRESENCE_MIN and fields[one].total() >= objects
        ]
        if always:
            made["required"] = [one[len(prefix) :] for one in always]
    if f"{prefix}{_MEMBER}" in fields:
        made["items"] = _schema(f"{prefix}{_MEMBER}", fields)
    return made
