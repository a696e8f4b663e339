"""JSON Schema for tracking plans: the one file that knows the library.

A subset of draft 2020-12 that costs a bounded time whatever is posted: no references (so nothing is
fetched and nothing recurs), few alternatives, and patterns for the linear-time engine of pydantic
alone. A keyword outside the subset is refused, so that no rule is ever silently without effect.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from math import isfinite, prod
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend
from pydantic_core import SchemaError, SchemaValidator, core_schema

from services.ingest.domain.flaws import FLAWS_MAX, Flaw

DIALECT = "https://json-schema.org/draft/2020-12/schema"
TYPES = frozenset({"object", "array", "string", "integer", "number", "boolean", "null"})
DEPTH_MAX = 20
NODES_MAX = 1_000
ALTERNATIVES_MAX = 20
PATTERNS_MAX = 100
PATTERN_CHARS_MAX = 200
# Of all counts in a pattern, such as {2,50}, multiplied: the engine writes repetitions out.
REPETITIONS_MAX = 100
ENUM_MAX = 500
# Values of one event times the alternatives of its schema; about six microseconds each.
VALUES_MAX = 50_000
_ERRORS_MAX = 20
_FIELD_CHARS_MAX = 300
_BRANCHING = frozenset({"anyOf", "oneOf", "allOf"})
_COUNTED = re.compile(r"\{(\d+)?,?(\d+)?\}")

Errors = list[dict[str, str]]


@dataclass(frozen=True, slots=True)
class Checker:
    """A schema ready to check with. `alternatives` is how often it may look at the same value."""

    validator: Draft202012Validator
    alternatives: int

    def flaws(self, data: Any) -> list[Flaw]:
        """How the `data` of an event breaks the schema, at most `FLAWS_MAX`, without its values."""
        if _values(data, VALUES_MAX) * (1 + self.alternatives) > VALUES_MAX:
            message = "has more values than the tracking plan can check"
            return [Flaw("data", message, "plan_violation", "size", "data")]
        return [_flaw(error) for error in islice(self.validator.iter_errors(data), FLAWS_MAX)]


def checker_of(schema: Mapping[str, Any]) -> Checker:
    """The checker of a schema without complaints."""
    return Checker(_Bounded(_prepared(schema)), _alternatives(schema))


class Inspection:
    """Looks for what is wrong with schemas; counts what must be few in each, or in all of them."""

    def __init__(self) -> None:
        self._errors: Errors = []
        self._left = {"patterns": PATTERNS_MAX}

    def complaints(self, schema: Any, path: str) -> Errors:
        """{"path", "message"} under `path`; nothing when the schema is fine."""
        self._errors = []
        self._left |= {"schemas": NODES_MAX, "alternatives": ALTERNATIVES_MAX}
        self._schema(schema, path, 1)
        return self._errors[:_ERRORS_MAX]

    def _complain(self, path: str, message: str) -> None:
        self._errors.append({"path": path, "message": message})

    def _spend(self, what: str, number: int, path: str) -> bool:
        self._left[what] -= number
        if self._left[what] < 0:
            self._complain(path, f"too many {what}")
            return False
        return True

    def _schema(self, schema: Any, path: str, depth: int) -> None:
        if len(self._errors) >= _ERRORS_MAX or not self._spend("schemas", 1, path):
            return
        if depth > DEPTH_MAX:
            self._complain(path, f"nested deeper than {DEPTH_MAX} levels")
            return
        if not isinstance(schema, dict):
            self._complain(path, "a schema is an object")
            return
        for keyword, value in schema.items():
            self._keyword(keyword, value, f"{path}.{keyword}", depth)

    def _keyword(self, keyword: str, value: Any, path: str, depth: int) -> None:
        if keyword in _PLAIN:
            why = _PLAIN[keyword](value)
            if why is not None:
                self._complain(path, why)
            elif keyword == "pattern":
                self._spend("patterns", 1, path)
        elif keyword in {"items", "not"}:
            self._schema(value, path, depth + 1)
        elif keyword == "additionalProperties":
            if not isinstance(value, bool):
                self._schema(value, path, depth + 1)
        elif keyword == "properties":
            self._properties(value, path, depth)
        elif keyword in _BRANCHING:
            self._alternatives(value, path, depth)
        else:
            self._complain(
                path, _UNKNOWN.get(keyword, "not a keyword that a tracking plan may use")
            )

    def _properties(self, value: Any, path: str, depth: int) -> None:
        if not isinstance(value, dict):
            self._complain(path, "must be an object of schemas")
            return
        for name, inner in value.items():
            self._schema(inner, f"{path}.{name}", depth + 1)

    def _alternatives(self, value: Any, path: str, depth: int) -> None:
        if not isinstance(value, list) or not value:
            self._complain(path, "must be a list of schemas")
        elif self._spend("alternatives", len(value), path):
            for place, inner in enumerate(value):
                self._schema(inner, f"{path}.{place}", depth + 1)


_UNKNOWN = {
    "$ref": "references are not followed; write the schema out",
    "$dynamicRef": "references are not followed; write the schema out",
    "format": "formats are not checked; use a pattern",
}


def _bad_type(value: Any) -> str | None:
    names = value if isinstance(value, list) else [value]
    fine = names and all(isinstance(one, str) and one in TYPES for one in names)
    return None if fine else f"must be one of {', '.join(sorted(TYPES))}, or a list of these"


def _bad_names(value: Any) -> str | None:
    fine = isinstance(value, list) and all(isinstance(one, str) for one in value)
    return None if fine and len(value) <= NODES_MAX else "must be a list of names"


def _bad_enum(value: Any) -> str | None:
    fine = isinstance(value, list) and 0 < len(value) <= ENUM_MAX
    if not fine or any(isinstance(one, dict | list) for one in value):
        return f"must be a list of 1 to {ENUM_MAX} texts, numbers, booleans or nulls"
    return None


def _bad_count(value: Any) -> str | None:
    fine = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return None if fine else "must be a whole number, 0 or more"


def _bad_number(value: Any) -> str | None:
    fine = isinstance(value, int | float) and not isinstance(value, bool)
    return None if fine and (isinstance(value, int) or isfinite(value)) else "must be a number"


def _bad_pattern(value: Any) -> str | None:
    if not isinstance(value, str) or len(value) > PATTERN_CHARS_MAX:
        return f"must be a text of at most {PATTERN_CHARS_MAX} characters"
    counts = [max(1, *(int(digits or 0) for digits in one)) for one in _COUNTED.findall(value)]
    if prod(counts) > REPETITIONS_MAX:
        return f"repeats more than {REPETITIONS_MAX} times"
    try:
        _regex(value)
    except SchemaError as error:
        reason = str(error).strip().splitlines()[-1].strip().removeprefix("error: ")
        return f"not a pattern of the linear-time engine: {reason[:200]}"
    return None


def _bad_dialect(value: Any) -> str | None:
    return None if value == DIALECT else f"must be {DIALECT}"


def _anything(_value: Any) -> str | None:
    return None


_PLAIN: Mapping[str, Callable[[Any], str | None]] = {
    "$schema": _bad_dialect,
    "type": _bad_type,
    "enum": _bad_enum,
    "required": _bad_names,
    "pattern": _bad_pattern,
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), _bad_number),
    **dict.fromkeys(
        ("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"),
        _bad_count,
    ),
    **dict.fromkeys(
        ("const", "title", "description", "examples", "default", "deprecated", "$comment"),
        _anything,
    ),
}


@lru_cache(maxsize=1_000)
def _regex(pattern: str) -> SchemaValidator:
    return SchemaValidator(core_schema.str_schema(pattern=pattern, strict=True))


class _Values(list[Any]):
    """The values of an `enum`, found by hash: a list of thousands may be checked against them."""

    def __init__(self, values: Sequence[Any]) -> None:
        super().__init__(values)
        self.keys = frozenset(_key(one) for one in values if not isinstance(one, dict | list))


def _key(value: Any) -> tuple[bool, Any]:
    """Tells 1 from true, which Python does not, and 1 not from 1.0, as JSON Schema says."""
    return isinstance(value, bool), value


def _prepared(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_prepared(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: _Values(value) if name == "enum" and isinstance(value, list) else _prepared(value)
        for name, value in schema.items()
    }


def _alternatives(schema: Any) -> int:
    if isinstance(schema, list):
        return sum(_alternatives(one) for one in schema)
    if not isinstance(schema, dict):
        return 0
    return sum(
        _alternatives(value)
        + (len(value) if name in _BRANCHING and isinstance(value, list) else 0)
        + (name == "not")
        for name, value in schema.items()
    )


def _values(data: Any, values_max: int) -> int:
    """How many values there are in it, not counted further than a bound."""
    waiting = [data]
    number = 0
    while waiting and number <= values_max:
        one = waiting.pop()
        number += 1
        if isinstance(one, dict):
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)
    return number


def _enum(
    _validator: Any, values: _Values, instance: Any, _schema: Any
) -> Iterator[ValidationError]:
    if isinstance(instance, dict | list) or _key(instance) not in values.keys:
        yield ValidationError("enum")


def _pattern(
    _validator: Any, pattern: str, instance: Any, _schema: Any
) -> Iterator[ValidationError]:
    if isinstance(instance, str) and not _regex(pattern).isinstance_python(instance):
        yield ValidationError("pattern")


def _required(
    _validator: Any, names: Sequence[str], instance: Any, _schema: Any
) -> Iterator[ValidationError]:
    if isinstance(instance, dict):
        for name in names:
            if name not in instance:
                yield ValidationError("required", path=[name])


def _additional(
    validator: Any, allowed: Any, instance: Any, schema: Mapping[str, Any]
) -> Iterator[ValidationError]:
    if allowed is True or not isinstance(instance, dict):
        return
    known = schema.get("properties", {})
    for name in instance:
        if name not in known:
            if allowed is False:
                yield ValidationError("additionalProperties", path=[name])
            else:
                yield from validator.descend(instance[name], allowed, path=name)


# The library's own would match by backtracking, and name in a message what should be in a path.
_Bounded: Any = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator,
    {
        "enum": _enum,
        "pattern": _pattern,
        "required": _required,
        "additionalProperties": _additional,
    },
)


def _flaw(error: ValidationError) -> Flaw:
    path = ".".join(["data", *(str(part) for part in error.absolute_path)])
    rule = str(error.validator)
    return Flaw(path, _message(rule, error.validator_value), "plan_violation", rule, _field(error))


def _field(error: ValidationError) -> str:
    """The place in the plan: as many as the schema has, whatever names and indexes are posted."""
    parts = ["data"]
    steps = iter(error.absolute_schema_path)
    for step in steps:
        if step == "properties":
            parts.append(str(next(steps)))
        elif step in {"items", "additionalProperties"}:
            parts.append("*")
        elif step in _BRANCHING:
            next(steps, None)
    if error.validator == "required":
        parts.append(str(error.absolute_path[-1]))
    return ".".join(parts)[:_FIELD_CHARS_MAX]


def _message(rule: str, value: Any) -> str:
    if rule == "type":
        return f"must be of type {' or '.join(value if isinstance(value, list) else [value])}"
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
