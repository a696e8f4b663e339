"""The verdicts on a request of calls: mapped to events, and judged like all others.

Paths and bodies are those of the calls, so that who sent them understands what was wrong.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from services.ingest.domain import verdict
from services.ingest.domain.flaws import FLAWS_MAX, Flaw
from services.ingest.domain.segment.calls import Request, id_of, whole_call
from services.ingest.domain.segment.mapping import Mapped, Misread, map_call
from services.ingest.domain.segment.values import exact, written, written_bytes
from services.ingest.domain.verdict import Accepted, Limits, Rejected, Unreadable, Verdicts

SLICE = 100
"""Calls judged at a time. A bad one has its whole slice judged one by one, and no other."""
_SHOWN_CHARS_MAX = 200


class Rules(NamedTuple):
    """What calls are held to: their number and size as they were sent, and the limits of the events
    they become. `currency` is that of money that comes without one; empty when there is none. A
    clock that seems to be off by more than `skew_seconds_max` is none: the body is an old one."""

    limits: Limits
    calls_max: int = 2_500
    call_bytes_max: int = 32_768
    currency: str = ""
    skew_seconds_max: float = 86_400.0


def judge_calls(
    request: Request, rules: Rules, body_bytes: int, now: datetime, new_id: Callable[[], str]
) -> Verdicts:
    """Judges every call of a request, as `judge_slices` does."""
    return joined(list(judge_slices(request, rules, body_bytes, now, new_id)))


def joined(parts: Sequence[Verdicts]) -> Verdicts:
    """The verdicts of all slices of a request as one."""
    return Verdicts(
        [one for part in parts for one in part.accepted],
        [one for part in parts for one in part.rejected],
        next((part.correction for part in parts if part.correction is not None), None),
    )


def judge_slices(
    request: Request, rules: Rules, body_bytes: int, now: datetime, new_id: Callable[[], str]
) -> Iterator[Verdicts]:
    """Judges the calls of a request `SLICE` at a time, so that others get their turn in between;
    raises `Unreadable` for more calls than may be.

    `body_bytes` is the size of the whole request; `now` and `new_id` are as for `verdict.judge`.
    """
    if len(request.calls) > rules.calls_max:
        detail = f"a request has at most {rules.calls_max} calls, not {len(request.calls)}"
        raise Unreadable(400, detail)
    if not _is_clock(request.sent_at, now, rules):
        request = replace(request, sent_at=None)
    # A small request cannot hold a large call.
    sized = body_bytes > rules.call_bytes_max
    for start in range(0, len(request.calls), SLICE):
        yield _judge_slice(request, start, rules, now, new_id, sized=sized)


def _is_clock(sent_at: datetime | None, now: datetime, rules: Rules) -> bool:
    """Whether a time of sending tells of a clock that is off, and not of a body that is old."""
    return sent_at is not None and abs(now - sent_at) <= timedelta(seconds=rules.skew_seconds_max)


def _judge_slice(
    request: Request,
    start: int,
    rules: Rules,
    now: datetime,
    new_id: Callable[[], str],
    *,
    sized: bool,
) -> Verdicts:
    mapped: dict[int, Mapped] = {}
    rejected: list[Rejected] = []
    for index, value in enumerate(request.calls[start : start + SLICE], start):
        if sized and _size(value) > rules.call_bytes_max:
            one: Mapped | Misread = _oversized(value, rules)
        else:
            one = map_call(value, request, rules.currency)
        if isinstance(one, Mapped):
            mapped[index] = one
        else:
            rejected.append(_misread(index, one, request))
    return _judged(mapped, rejected, request, rules.limits, now, new_id)


def _judged(
    mapped: dict[int, Mapped],
    rejected: list[Rejected],
    request: Request,
    limits: Limits,
    now: datetime,
    new_id: Callable[[], str],
) -> Verdicts:
    if not mapped:
        return Verdicts([], rejected)
    sent_at = {"sent_at": request.sent_at.isoformat()} if request.sent_at is not None else {}
    body = written({"events": [one.event for one in mapped.values()], **sent_at}).encode()
    found = verdict.judge(body, replace(limits, events_max=len(mapped)), now, new_id)
    places = list(mapped)
    accepted = [Accepted(places[one.place], one.id, one.key, one.line) for one in found.accepted]
    for one in found.rejected:
        index = places[one.place]
        rejected.append(_translated(one, index, mapped[index], request))
    rejected.sort(key=lambda one: one.place)
    return Verdicts(accepted, rejected, found.correction)


def _translated(one: Rejected, index: int, mapped: Mapped, request: Request) -> Rejected:
    prefix = f"events.{one.place}"
    errors = []
    for error in one.errors:
        inner = error["path"].removeprefix(prefix).removeprefix(".")
        # What else is said of it, as by the tracking plan, is not about the call.
        told = _told(request, index, mapped.origin_of(inner), error["message"])
        errors.append({**error, **told})
    return replace(one, place=index, errors=errors, body=_text(request, index))


def _misread(index: int, one: Misread, request: Request) -> Rejected:
    errors = [_told(request, index, flaw.path, flaw.message) for flaw in one.flaws]
    shown = one.id if one.id is not None and one.id.isprintable() else None
    return Rejected(
        place=index,
        id=shown[:_SHOWN_CHARS_MAX] if shown else None,
        type=one.type,
        reason=one.flaws[0].reason,
        errors=errors[:FLAWS_MAX],
        body=_text(request, index),
    )


def _told(request: Request, index: int, path: str, message: str) -> dict[str, str]:
    return Flaw(path, message, "invalid_value").under(request.path_of(index))


def _oversized(value: Any, rules: Rules) -> Misread:
    message = f"a call has at most {rules.call_bytes_max} bytes as JSON"
    return Misread(
        [Flaw("", message, "too_large")], id_of(value) if isinstance(value, dict) else None, None
    )


def _size(value: Any) -> int:
    try:
        return written_bytes(value)
    except RecursionError:
        return 0  # nested that deep it is refused, or stands where nobody looks


def _text(request: Request, index: int) -> str:
    """What was sent, as JSON, digit by digit, with what its path and its batch told; empty when
    nested too deep to be written again."""
    value = request.calls[index]
    if isinstance(value, dict):
        value = whole_call(value, request.kind, request.context)
    try:
        return exact(value)
    except RecursionError:
        return ""
