"""JSON Schema for tracking plans: which schemas a plan may hold.

A subset of draft 2020-12 whose cost can be bounded: no references (so nothing is fetched and
nothing recurs), few alternatives, and patterns for the linear-time engine of pydantic alone. A
keyword outside the subset is refused, so that no rule is ever silently without effect.
"""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from math import isfinite, prod
from typing import Any

from pydantic_core import SchemaError, SchemaValidator, core_schema

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
_ERRORS_MAX = 20
BRANCHING = frozenset({"anyOf", "oneOf", "allOf"})
_COUNTED = re.compile(r"\{(\d+)?,?(\d+)?\}")

Errors = list[dict[str, str]]


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
        elif keyword in BRANCHING:
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
        regex(value)
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
def regex(pattern: str) -> SchemaValidator:
    """A pattern of the linear-time engine; raises `SchemaError` for what is none."""
    return SchemaValidator(core_schema.str_schema(pattern=pattern, strict=True))
