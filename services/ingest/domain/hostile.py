"""What JSON can carry and nobody can use: found before anything else looks at a decoded value.

NUL cannot be stored as text by PostgreSQL, half a surrogate pair cannot be encoded, NaN and
Infinity are not JSON at all (RFC 8259), and deep nesting costs every reader its stack.
"""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

from services.ingest.domain.flaws import Flaw

_FLAWS_MAX = 10


def find(value: Any, depth_max: int) -> list[Flaw]:
    """The hostile places of a decoded JSON value; `depth_max` counts objects and arrays."""
    flaws: list[Flaw] = []
    waiting: list[tuple[_Place | None, Any, int]] = [(None, value, 1)]
    while waiting and len(flaws) < _FLAWS_MAX:
        place, one, depth = waiting.pop()
        if isinstance(one, dict | list):
            if depth > depth_max:
                message = f"nested deeper than {depth_max} levels"
                flaws.append(Flaw(_path(place), message, "too_deep"))
                continue
            waiting.extend(_inside(place, one, depth + 1, flaws))
        elif (flaw := _flaw_of(place, one)) is not None:
            flaws.append(flaw)
    return flaws


class _Place(NamedTuple):
    """Where a value stands. Spelled out for a flaw only: a long name would be copied for each of
    the values below it."""

    above: "_Place | None"
    name: str | int


def _inside(
    place: _Place | None, one: dict[str, Any] | list[Any], depth: int, flaws: list[Flaw]
) -> list[tuple[_Place | None, Any, int]]:
    """What to look at next, last first, so that flaws come in the order of the text."""
    named: Iterable[tuple[str | int, Any]] = (
        enumerate(one) if isinstance(one, list) else one.items()
    )
    inner: list[tuple[_Place | None, Any, int]] = []
    for name, each in named:
        below = _Place(place, name)
        if len(flaws) < _FLAWS_MAX and (flaw := _flaw_of(below, name)) is not None:
            flaws.append(flaw)
        inner.append((below, each, depth))
    inner.reverse()
    return inner


def _path(place: _Place | None) -> str:
    names: list[str] = []
    while place is not None:
        names.append(str(place.name))
        place = place.above
    return ".".join(reversed(names))


def _flaw_of(place: _Place | None, value: Any) -> Flaw | None:
    if isinstance(value, str):
        if "\x00" in value:
            return Flaw(_path(place), "a text must not contain NUL (\\u0000)", "invalid_text")
        if not value.isascii() and _halved(value):
            message = "a text must not contain half a surrogate pair"
            return Flaw(_path(place), message, "invalid_text")
    elif isinstance(value, float) and not math.isfinite(value):
        return Flaw(_path(place), "a number must be finite", "not_finite")
    return None


def _halved(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
