"""What breaks the schemas of a tracking plan, in a bounded time whatever is posted.

Looks are counted while they are taken, so that no way to multiply them escapes the allowance; what
is wrong is found only as far as it is asked for, and spelled out only where it is told. A test
compares the verdicts with those of the reference validator, which can do none of these.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from services.ingest.domain.flaws import FLAWS_MAX, Flaw
from services.ingest.domain.schema import BRANCHING, regex

# A look is one value held against one schema, about a microsecond. So many an event may take, so
# many all events of a request together: a quarter of a second, in which nobody else is served.
EVENT_LOOKS_MAX = 50_000
REQUEST_LOOKS_MAX = 200_000
# What costs as much as one look.
_RULES_PER_LOOK = 4
_NAMES_PER_LOOK = 16
_CHARS_PER_LOOK = 100
_FIELD_CHARS_MAX = 300


class Allowance:
    """The looks that are left for the events of a request."""

    __slots__ = ("_event", "_left")

    def __init__(self, looks: int = REQUEST_LOOKS_MAX) -> None:
        self._left = looks
        self._event = 0

    @property
    def is_spent(self) -> bool:
        return self._left <= 0

    def next_event(self) -> None:
        """From now on another event is looked at."""
        self._event = min(EVENT_LOOKS_MAX, self._left)

    def spend(self, looks: int) -> None:
        """Raises `Spent` when that is more than is left."""
        self._left -= looks
        self._event -= looks
        if self._event < 0:
            raise Spent


class Spent(Exception):
    """The events have more values than can be checked."""


@dataclass(frozen=True, slots=True)
class Checker:
    """A schema ready to check with."""

    schema: Mapping[str, Any]

    def flaws(self, data: Any, allowance: Allowance) -> list[Flaw]:
        """How the `data` of an event breaks the schema, at most `FLAWS_MAX`, without its values.
        What exceeds the allowance is not checked through: it breaks the rule `size`."""
        flaws: list[Flaw] = []
        allowance.next_event()
        try:
            for one in _breaks(self.schema, data, _TOP, allowance):
                flaws.append(_flaw(one))
                if len(flaws) == FLAWS_MAX:
                    break
        except Spent:
            flaws.append(too_many())
        return flaws


def too_many() -> Flaw:
    """The flaw of an event that is not checked through."""
    message = "has more values, or came with more, than the tracking plan can check"
    return Flaw("data", message, "plan_violation", "size", "data")


def checker_of(schema: Mapping[str, Any]) -> Checker:
    """The checker of a schema without complaints."""
    return Checker(_prepared(schema))


class _Values(list[Any]):
    """The values of an `enum`, found by hash: a list of thousands may be checked against them."""

    def __init__(self, values: Sequence[Any]) -> None:
        super().__init__(values)
        self.keys = frozenset(_key(one) for one in values if not isinstance(one, dict | list))


def _key(value: Any) -> tuple[bool, Any]:
    """Tells 1 from true, which Python does not, and 1 not from 1.0, as JSON Schema says."""
    return isinstance(value, bool), value


def _prepared(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A schema without notes, its values and types made to be looked up."""
    return {name: _part(name, value) for name, value in schema.items() if name in _CHECKED}


def _part(name: str, value: Any) -> Any:
    if name == "enum":
        return _Values(value)
    if name == "type":
        return list(dict.fromkeys(value if isinstance(value, list) else [value]))
    if name == "properties":
        return {key: _prepared(inner) for key, inner in value.items()}
    if name in BRANCHING:
        return [_prepared(one) for one in value]
    if name in {"items", "not", "additionalProperties"} and not isinstance(value, bool):
        return _prepared(value)
    return value


class _Place(NamedTuple):
    """Where a value is, in the event and in the plan: there as many as the schema has, whatever
    names and indexes are posted. Spelled out only where something is wrong."""

    above: "_Place | None"
    name: str | int
    field: str

    def under(self, name: str | int, field: str) -> "_Place":
        return _Place(self, name, field)

    def spelled(self) -> tuple[str, str]:
        """The path and the field."""
        names, fields = [str(self.name)], [self.field]
        above = self.above
        while above is not None:
            names.append(str(above.name))
            fields.append(above.field)
            above = above.above
        return ".".join(reversed(names)), ".".join(reversed(fields))[:_FIELD_CHARS_MAX]


class _Break(NamedTuple):
    """A rule of the schema, with its value, that does not hold at a place."""

    place: _Place
    rule: str
    value: Any = None


_TOP = _Place(None, "data", "data")
_Breaks = Iterator[_Break]


def _breaks(
    schema: Mapping[str, Any], value: Any, place: _Place, allowance: Allowance
) -> Iterator[_Break]:
    """Everything that breaks a schema, found only as it is asked for."""
    allowance.spend(1 + len(schema) // _RULES_PER_LOOK)
    for keyword, rule in schema.items():
        holds = _HOLDS.get(keyword)
        if holds is None:
            yield from _LEADS[keyword](rule, value, schema, place, allowance)
        elif not holds(rule, value):
            yield _Break(place, keyword, rule)


def _fits(schema: Mapping[str, Any], value: Any, place: _Place, allowance: Allowance) -> bool:
    return next(_breaks(schema, value, place, allowance), None) is None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_TYPES: Mapping[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: _is_number(value) and (isinstance(value, int) or value.is_integer()),
    "number": _is_number,
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
}


def _is_of(types: Sequence[str], value: Any) -> bool:
    return any(_TYPES[name](value) for name in types)


def _is_one_of(values: _Values, value: Any) -> bool:
    return not isinstance(value, dict | list) and _key(value) in values.keys


# Rules of a value alone: (the rule's value, the value) to whether it holds.
_HOLDS: Mapping[str, Callable[[Any, Any], bool]] = {
    "type": _is_of,
    "enum": _is_one_of,
    "minimum": lambda least, value: not _is_number(value) or value >= least,
    "maximum": lambda most, value: not _is_number(value) or value <= most,
    "exclusiveMinimum": lambda bound, value: not _is_number(value) or value > bound,
    "exclusiveMaximum": lambda bound, value: not _is_number(value) or value < bound,
    "minLength": lambda least, value: not isinstance(value, str) or len(value) >= least,
    "maxLength": lambda most, value: not isinstance(value, str) or len(value) <= most,
    "minItems": lambda least, value: not isinstance(value, list) or len(value) >= least,
    "maxItems": lambda most, value: not isinstance(value, list) or len(value) <= most,
    "minProperties": lambda least, value: not isinstance(value, dict) or len(value) >= least,
    "maxProperties": lambda most, value: not isinstance(value, dict) or len(value) <= most,
}


def _const(rule: Any, value: Any, _schema: Any, place: _Place, allowance: Allowance) -> _Breaks:
    if not _is_same(rule, value, allowance):
        yield _Break(place, "const", rule)


def _is_same(one: Any, other: Any, allowance: Allowance) -> bool:
    if isinstance(one, list) and isinstance(other, list):
        allowance.spend(1 + len(one))
        return len(one) == len(other) and all(
            _is_same(*pair, allowance) for pair in zip(one, other, strict=True)
        )
    if isinstance(one, dict) and isinstance(other, dict):
        allowance.spend(1 + len(one))
        return one.keys() == other.keys() and all(
            _is_same(inner, other[name], allowance) for name, inner in one.items()
        )
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def _pattern(rule: str, value: Any, _schema: Any, place: _Place, allowance: Allowance) -> _Breaks:
    if isinstance(value, str):
        allowance.spend(len(value) // _CHARS_PER_LOOK)
        if not regex(rule).isinstance_python(value):
            yield _Break(place, "pattern", rule)


def _required(
    names: Sequence[str], value: Any, _schema: Any, place: _Place, allowance: Allowance
) -> _Breaks:
    if isinstance(value, dict):
        allowance.spend(len(names) // _NAMES_PER_LOOK)
        for name in names:
            if name not in value:
                yield _Break(place.under(name, name), "required")


def _properties(
    schemas: Mapping[str, Any], value: Any, _schema: Any, place: _Place, allowance: Allowance
) -> _Breaks:
    if isinstance(value, dict):
        allowance.spend(len(schemas) // _NAMES_PER_LOOK)
        for name, schema in schemas.items():
            if name in value:
                yield from _breaks(schema, value[name], place.under(name, name), allowance)


def _additional(
    allowed: Any, value: Any, schema: Mapping[str, Any], place: _Place, allowance: Allowance
) -> _Breaks:
    if allowed is True or not isinstance(value, dict):
        return
    allowance.spend(len(value) // _NAMES_PER_LOOK)
    known = schema.get("properties", {})
    for name, inner in value.items():
        if name in known:
            continue
        if allowed is False:
            yield _Break(place.under(name, "*"), "additionalProperties")
        else:
            yield from _breaks(allowed, inner, place.under(name, "*"), allowance)


def _items(rule: Any, value: Any, _schema: Any, place: _Place, allowance: Allowance) -> _Breaks:
    if isinstance(value, list):
        for number, one in enumerate(value):
            yield from _breaks(rule, one, place.under(number, "*"), allowance)


def _all(rule: Any, value: Any, _schema: Any, place: _Place, allowance: Allowance) -> _Breaks:
    for schema in rule:
        yield from _breaks(schema, value, place, allowance)


def _any(rule: Any, value: Any, _schema: Any, place: _Place, allowance: Allowance) -> _Breaks:
    if not any(_fits(schema, value, place, allowance) for schema in rule):
        yield _Break(place, "anyOf")


def _one(rule: Any, value: Any, _schema: Any, place: _Place, allowance: Allowance) -> _Breaks:
    if sum(_fits(schema, value, place, allowance) for schema in rule) != 1:
        yield _Break(place, "oneOf")


def _not(rule: Any, value: Any, _schema: Any, place: _Place, allowance: Allowance) -> _Breaks:
    if _fits(rule, value, place, allowance):
        yield _Break(place, "not")


# Rules that spend more than the one look, or lead to others.
_LEADS: Mapping[str, Callable[[Any, Any, Any, _Place, Allowance], _Breaks]] = {
    "const": _const,
    "pattern": _pattern,
    "required": _required,
    "properties": _properties,
    "additionalProperties": _additional,
    "items": _items,
    "allOf": _all,
    "anyOf": _any,
    "oneOf": _one,
    "not": _not,
}
_CHECKED = _HOLDS.keys() | _LEADS.keys()


def _flaw(one: _Break) -> Flaw:
    path, field = one.place.spelled()
    return Flaw(path, _message(one.rule, one.value), "plan_violation", one.rule, field)


def _message(rule: str, value: Any) -> str:
    if rule == "type":
        return f"must be of type {' or '.join(value)}"
    return _MESSAGES.get(rule, "breaks the rule {rule}").format(rule=rule, value=str(value)[:200])


_MESSAGES = {
    "required": "required by the tracking plan",
    "additionalProperties": "not in the tracking plan",
    "enum": "must be one of the values of the tracking plan",
    "const": "must be the value of the tracking plan",
    "pattern": "must match {value}",
    "minimum": "must be at least {value}",
    "maximum": "must be at most {value}",
    "exclusiveMinimum": "must be more than {value}",
    "exclusiveMaximum": "must be less than {value}",
    "minLength": "must have at least {value} characters",
    "maxLength": "must have at most {value} characters",
    "minItems": "must have at least {value} members",
    "maxItems": "must have at most {value} members",
    "minProperties": "must have at least {value} properties",
    "maxProperties": "must have at most {value} properties",
    "anyOf": "fits none of the alternatives",
    "oneOf": "must fit exactly one of the alternatives",
    "not": "is what the tracking plan excludes",
}
