"""What is wrong with an event: exact paths, clear messages, a reason to filter by."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal, get_args

from pydantic import ValidationError

Reason = Literal[
    "unknown_type",
    "unknown_field",
    "missing_field",
    "invalid_value",
    "invalid_text",
    "not_finite",
    "too_deep",
    "too_large",
    "missing_id",
    "illegal_id",
    "invalid_time",
    "future_time",
    "not_an_object",
    "plan_violation",
]
REASONS: tuple[str, ...] = get_args(Reason)
FLAWS_MAX = 20
_PATH_CHARS_MAX = 300
_PLAIN = "must be a text, a finite number, a boolean, null, or a flat list of these"
_KINDS: dict[str, tuple[Reason, str | None]] = {
    "extra_forbidden": ("unknown_field", "unknown field"),
    "missing": ("missing_field", "required"),
    "finite_number": ("not_finite", None),
    "timezone_aware": ("invalid_time", "a time needs an offset, such as Z or +02:00"),
    "datetime_parsing": ("invalid_time", None),
    "datetime_from_date_parsing": ("invalid_time", None),
    "datetime_object_invalid": ("invalid_time", None),
}
# Which branch of a free value tells best what is wrong with it.
_TELLING = ("finite_number", "string_too_long", "string_pattern_mismatch", "too_long")


@dataclass(frozen=True, slots=True)
class Flaw:
    """One thing that is wrong. `path` is dotted, within the event. A violation of the tracking plan
    also names the broken `rule`, and the `field` as the plan knows it, with `*` for what varies."""

    path: str
    message: str
    reason: Reason
    rule: str | None = None
    field: str = ""

    def under(self, prefix: str) -> dict[str, str]:
        """As the answer shows it, with the path from the top of the request."""
        path = f"{prefix}.{self.path}" if prefix and self.path else prefix or self.path
        # A name within it is the client's and may hold half a surrogate pair, which no UTF-8 can.
        shown = path[:_PATH_CHARS_MAX].encode(errors="backslashreplace").decode()
        error = {"path": shown, "message": self.message}
        return error if self.rule is None else error | {"rule": self.rule, "field": self.field}


def flaws_of(error: ValidationError, value: Any) -> list[Flaw]:
    """The flaws that pydantic found in `value`, at most `FLAWS_MAX`, without the values.

    pydantic names the branches of a union in its paths; a path here holds only what stands in the
    request, and the branches of one free value become one flaw.
    """
    found: dict[str, list[tuple[str, str, bool]]] = {}
    for problem in error.errors(include_url=False, include_input=False, include_context=False):
        if problem["type"] == "missing" and _is_there(problem["loc"], value):
            continue  # only `beginnings` left it out
        path, branched = _path(problem["loc"], problem["type"], value)
        found.setdefault(path, []).append((problem["type"], problem["msg"], branched))
    above = {path[:dot] for path in found for dot, char in enumerate(path) if char == "."}
    flaws: list[Flaw] = []
    for path, problems in found.items():
        branched = all(one[2] for one in problems)
        if branched and path in above:
            continue  # a value inside it is the cause
        flaws.append(_flaw(path, problems, branched))
        if len(flaws) == FLAWS_MAX:
            break
    return flaws


def beginnings(value: Any, size: int) -> Any:
    """A value with no more than the first `size` members of every list and object within it."""
    if isinstance(value, dict):
        return {name: beginnings(value[name], size) for name in islice(value, size)}
    if isinstance(value, list):
        return [beginnings(one, size) for one in value[:size]]
    return value


def _is_there(loc: Sequence[int | str], value: Any) -> bool:
    for part in loc:
        if not _holds(value, part):
            return False
        value = value[part]
    return True


def _flaw(path: str, problems: Sequence[tuple[str, str, bool]], branched: bool) -> Flaw:
    kind, message, _ = problems[0]
    if branched:
        telling = [one for one in problems if one[0] in _TELLING]
        if not telling:
            return Flaw(path, _PLAIN, "invalid_value")
        kind, message, _ = telling[0]
    reason, ours = _KINDS.get(kind, ("invalid_value", None))
    message = ours or message.removeprefix("Value error, ")
    if path == "occurred_at" and reason == "invalid_value":
        reason = "invalid_time"
    return Flaw(path, message, reason)


def _path(loc: Sequence[int | str], kind: str, value: Any) -> tuple[str, bool]:
    """The dotted path of `loc` within `value`, and whether it passed a union's branch."""
    parts: list[str] = []
    branched = False
    for place, part in enumerate(loc):
        if _holds(value, part):
            value = value[part]
        elif kind != "missing" or place < len(loc) - 1:
            branched = branched or part != "[key]"
            continue
        parts.append(str(part))
    return ".".join(parts), branched


def _holds(value: Any, part: int | str) -> bool:
    if isinstance(value, dict):
        return part in value
    return isinstance(value, list) and isinstance(part, int) and part < len(value)
