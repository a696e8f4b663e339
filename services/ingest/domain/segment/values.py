"""Reading the loosely typed values of a call: amounts, ids, texts, free properties.

Clients compute money in binary floating point, write numbers as texts and texts as numbers. What
can only mean one thing is read; what cannot is a flaw at its path, and never an exception.
"""

import json
import re
from collections.abc import Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any

from services.ingest.domain import hostile
from services.ingest.domain.flaws import Flaw, Reason

Object = dict[str, Any]

_AMOUNT = re.compile(r"[+-]?[0-9]{1,30}(\.[0-9]{0,30})?", re.ASCII).fullmatch
_AMOUNT_CHARS_MAX = 62
_HALVES = re.compile("[\ud800-\udfff]").search
_AMOUNT_EXPONENT_MAX = 18
_PLACES_MAX = 6
_MICRO = Decimal(1).scaleb(-_PLACES_MAX)
# So many digits that no product or sum of amounts is cut.
EXACT = Context(prec=100)
_ID_MAX = 10**100
_NESTING_DEPTH_MAX = 16
_PROPERTIES_MAX = 200
_PROPERTY_CHARS_MAX = 200
_TEXT_LIKE = (str, int, Decimal)


def amount_of(value: Any) -> Decimal | None:
    """An amount with at most six decimal places, half to even; None for what is no amount.

    JSON numbers with a fraction arrive as `Decimal`, so their digits are those that were sent.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        value = Decimal(repr(value))
    if isinstance(value, str):
        text = value.strip() if len(value) <= _AMOUNT_CHARS_MAX else ""
        value = Decimal(text) if _AMOUNT(text) else None
    if isinstance(value, int):
        value = Decimal(value)
    if not isinstance(value, Decimal) or not value.is_finite():
        return None
    if value.is_zero():
        return Decimal(0)
    if value.adjusted() > _AMOUNT_EXPONENT_MAX:
        return None
    return rounded(value)


def rounded(amount: Decimal) -> Decimal:
    """An amount as it is with up to six decimal places, else rounded to six and without zeros."""
    exponent = amount.as_tuple().exponent
    assert isinstance(exponent, int), "an amount is finite"
    if exponent >= -_PLACES_MAX:
        return amount
    shorter = amount.quantize(_MICRO, ROUND_HALF_EVEN, EXACT)
    return Decimal(0) if shorter.is_zero() else shorter.normalize(EXACT)


def spelled(amount: Decimal) -> str:
    """An amount as our events spell it: decimal digits without an exponent."""
    return format(amount, "f")


def soft_text(value: Any, chars_max: int) -> str | None:
    """A text that merely describes: cut to its length; None for what cannot be kept as one."""
    if isinstance(value, bool) or not isinstance(value, _TEXT_LIKE):
        return None
    if not isinstance(value, str):
        return str(value) if hardly_long(value) else None
    text = value.strip()[:chars_max]
    return text if text and not is_unkeepable(text) else None


def hardly_long(value: int | Decimal) -> bool:
    """Whether a number can be written out at all: Python refuses integers of 4,301 digits."""
    return isinstance(value, Decimal) or -_ID_MAX < value < _ID_MAX


def is_unkeepable(text: str) -> bool:
    """Whether a text holds what PostgreSQL or UTF-8 cannot: NUL, half a surrogate pair."""
    return "\x00" in text or (not text.isascii() and _HALVES(text) is not None)


class Fields:
    """An object of a call, read field by field; what cannot be read is added to `flaws`.

    Every reader takes several names, of which the first that is there counts: null and the empty
    text are not there. `path` is that of the object within the call.
    """

    __slots__ = ("flaws", "path", "values")

    def __init__(self, values: Object, path: str, flaws: list[Flaw]) -> None:
        self.values = values
        self.path = path
        self.flaws = flaws

    def found(self, *names: str) -> tuple[str, Any] | None:
        """The name and the value of the first field that is there."""
        for name in names:
            value = self.values.get(name)
            if value is not None and value != "":
                return name, value
        return None

    def id(self, *names: str) -> str | None:
        """A name of something: a text, or a whole number as one."""
        found = self.found(*names)
        if found is None:
            return None
        name, value = found
        if isinstance(value, str):
            return value
        if isinstance(value, int) and not isinstance(value, bool) and hardly_long(value):
            return str(value)
        self.flaw(name, "must be a text", "invalid_value")
        return None

    def amount(self, *names: str) -> Decimal | None:
        """An amount of money; a text with anything but digits and a point is a flaw."""
        found = self.found(*names)
        if found is None:
            return None
        amount = amount_of(found[1])
        if amount is None:
            message = "must be an amount: a number, or a text with digits and a point"
            self.flaw(found[0], message, "invalid_value")
        return amount

    def text(self, chars_max: int, *names: str) -> str | None:
        """A describing text, or None; see `soft_text`."""
        found = self.found(*names)
        return soft_text(found[1], chars_max) if found else None

    def required(self, name: str, value: str | None) -> str:
        """`value`, whose absence is a flaw of the field `name` unless it has one already."""
        path = self.at(name)
        if value is None and not any(flaw.path == path for flaw in self.flaws):
            self.flaw(name, "required", "missing_field")
        return value or ""

    def at(self, name: str) -> str:
        """The path of a field within the call."""
        return f"{self.path}.{name}" if self.path else name

    def flaw(self, name: str, message: str, reason: Reason) -> None:
        """Notes what is wrong with a field."""
        self.flaws.append(Flaw(self.at(name), message, reason))


def written(value: Any) -> str:
    """A value as compact JSON in ASCII; numbers with a fraction become doubles again."""
    return json.dumps(value, separators=(",", ":"), default=float)


def exact(value: Any) -> str:
    """A value as compact JSON in ASCII, with every digit of its numbers as it was sent."""
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(k)}:{exact(one)}" for k, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(exact, value)) + "]"
    return json.dumps(value)


def written_bytes(value: Any) -> int:
    """The size of a value as compact JSON in UTF-8."""
    text = json.dumps(value, separators=(",", ":"), default=float, ensure_ascii=False)
    return len(text.encode(errors="replace"))


def flattened(fields: Fields, prefix: str = "") -> Object:
    """Free properties without nesting: names of inner objects are joined by underscores, a list of
    objects becomes its JSON text. Null is as good as absent."""
    flat: Object = {}
    waiting: list[tuple[str, str, Any, int]] = [(fields.path, prefix, fields.values, 0)]
    while waiting:
        path, name, value, depth = waiting.pop()
        # What is refused in the end must not grow first: names repeat those above them.
        if (flaw := _misplaced(path, name, depth, flat)) is not None:
            fields.flaws.append(flaw)
            break
        if isinstance(value, dict):
            waiting.extend(
                (f"{path}.{key}", f"{name}_{key}" if name else key, inner, depth + 1)
                for key, inner in reversed(value.items())
            )
        elif isinstance(value, list) and any(isinstance(one, dict | list) for one in value):
            flaws = hostile.find(value, _NESTING_DEPTH_MAX)
            fields.flaws.extend(_below(path, flaws))
            if not flaws:
                flat[name] = written(value)
        elif value is not None:
            flat[name] = value
    return flat


def _misplaced(path: str, name: str, depth: int, flat: Object) -> Flaw | None:
    if depth > _NESTING_DEPTH_MAX:
        return Flaw(path, f"nested deeper than {_NESTING_DEPTH_MAX} levels", "too_deep")
    if len(name) > _PROPERTY_CHARS_MAX:
        message = f"a property's name has at most {_PROPERTY_CHARS_MAX} characters"
        return Flaw(path, message, "invalid_value")
    if len(flat) > _PROPERTIES_MAX:
        return Flaw(path, f"more than {_PROPERTIES_MAX} properties", "too_large")
    return None


def _below(path: str, flaws: Sequence[Flaw]) -> list[Flaw]:
    return [
        Flaw(f"{path}.{one.path}" if one.path else path, one.message, one.reason) for one in flaws
    ]
