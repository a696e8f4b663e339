"""The door's judgement: which events of a request are accepted, and what is wrong with the others.

The whole body is looked at in one pass: quickly, and if that does not suffice, in full. Only when
that fails too is every event judged alone, so that one bad event costs its neighbours nothing but
time. All ways come to the same verdicts and the same lines.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from pydantic import ValidationError

from services.ingest.domain import hostile, naming, screen, times
from services.ingest.domain.checks import Allowance
from services.ingest.domain.flaws import Flaw, beginnings, flaws_of
from services.ingest.domain.intake import BATCH, ONE, SENT_AT, IntakeEvent, model_of, to_line
from services.ingest.domain.plan import Plan
from services.ingest.domain.screen import Fields
from services.ingest.domain.times import Correction
from shared.events.engagement import ReferralMade, SurveyAnswered

_BEGINS_BATCH = re.compile(rb'\s*\{\s*"events"\s*:').match
_TYPE_CHARS_MAX = 100
_ID_CHARS_MAX = 200
# One pass over a body of nothing but errors would gather them all: gigabytes for a few megabytes.
_COMMAS_MAX = 30_000
_ERRORS_MAX = 1_000
_BEGINNING = 50
_BESIDE_EVENTS = frozenset({"events", "sent_at"})
_SURVEY_SCORES = {"nps": (0, 10), "csat": (1, 5)}
_REFERRAL = ReferralMade.type_name()
_SPECIAL = frozenset({_REFERRAL, SurveyAnswered.type_name()})


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may hold. `event_bytes_max` counts an event as compact JSON; a client's
    clock that is off by `skew_seconds_min` or more is corrected for. `plan` is what the shop itself
    asks of its events, None when it asks nothing."""

    events_max: int = 2_500
    event_bytes_max: int = 262_144
    nesting_depth_max: int = 32
    future_seconds_max: float = 3_600.0
    skew_seconds_min: float = 300.0
    plan: Plan | None = None


class Accepted(NamedTuple):
    """`place` is the event's in its request, `key` the id that names the person, `line` the event
    as compact JSON with its id."""

    place: int
    id: str
    key: str
    line: bytes


@dataclass(frozen=True, slots=True)
class Rejected:
    """`body` is what was sent, as JSON text; `errors` have paths from the top of the request.
    `source` is where the event says that it comes from; empty when it does not."""

    place: int
    id: str | None
    type: str | None
    reason: str
    errors: Sequence[dict[str, str]]
    body: str
    source: str = ""


@dataclass(frozen=True, slots=True)
class Verdicts:
    """`correction` is what is to be done to the times in the accepted lines, which stay as sent.

    `sources` are where each accepted event says that it comes from, if the events say so.
    """

    accepted: Sequence[Accepted]
    rejected: Sequence[Rejected]
    correction: Correction | None = None
    sources: Sequence[str] = ()


class Unreadable(Exception):
    """The request as a whole cannot be judged; `status` is the answer's."""

    def __init__(self, status: int, detail: str, errors: Sequence[dict[str, str]] = ()) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = list(errors)


class _Bounds(NamedTuple):
    """What the times of a request are judged by, and how much of it the plan may look at. Who tells
    no `sent_at` gets no correction, and what lies in the future is refused."""

    latest: datetime
    correction: Correction | None
    allowance: Allowance


def judge(body: bytes, limits: Limits, now: datetime, new_id: Callable[[], str]) -> Verdicts:
    """Judges one event or `{"events": […]}`; raises `Unreadable` (400, 413 or 422).

    `now` is the instant after which the future begins; `new_id` names events without an id.
    """
    events = _whole(body)
    if events is None:
        return _one_by_one(body, limits, now, new_id)
    bounded(len(events.all), limits)
    bounds = _bounds(limits, now, events.sent_at)
    accepted: list[Accepted] = []
    rejected: list[Rejected] = []
    for index, event in enumerate(events.all):
        prefix = f"events.{index}" if events.is_batch else ""
        verdict = _finish(index, event, limits, bounds, new_id, prefix)
        if isinstance(verdict, Accepted):
            accepted.append(verdict)
        else:
            rejected.append(verdict)
    return Verdicts(accepted, rejected, bounds.correction)


def _bounds(limits: Limits, now: datetime, sent_at: datetime | None) -> _Bounds:
    future_max = timedelta(seconds=limits.future_seconds_max)
    if sent_at is None:
        return _Bounds(now + future_max, None, Allowance())
    skew_min = timedelta(seconds=limits.skew_seconds_min)
    correction = times.correction(sent_at, now, skew_min=skew_min, future_max=future_max)
    return _Bounds(correction.latest, correction, Allowance())


class _Events(NamedTuple):
    """All events of a body, each of its right shape, and when its sender sent it."""

    all: Sequence[Fields | IntakeEvent]
    is_batch: bool
    sent_at: datetime | None = None


def _whole(body: bytes) -> _Events | None:
    """All events when every one has its right shape; None when each must be looked at."""
    if b"\\u0000" in body or body.count(b",") > _COMMAS_MAX:
        return None
    is_batch = _BEGINS_BATCH(body) is not None
    plain = screen.plain_events(body, is_batch=is_batch)
    if plain is not None:
        return _Events(plain.events, is_batch, plain.sent_at)
    try:
        if is_batch:
            batch = BATCH.validate_json(body, extra="forbid")
            return _Events(batch.events, is_batch, batch.sent_at)
        return _Events([ONE.validate_json(body, extra="forbid")], is_batch)
    except ValidationError:
        return None


def _finish(
    index: int,
    event: Fields | IntakeEvent,
    limits: Limits,
    bounds: _Bounds,
    new_id: Callable[[], str],
    prefix: str,
) -> Accepted | Rejected:
    """What a schema cannot say: who is meant, when it happened, how large it is."""
    fields = event if isinstance(event, dict) else vars(event)
    flaws = _rules(fields, bounds)
    event_id: str | None = fields.get("id")
    line = screen.line_of(event) if isinstance(event, dict) else to_line(event)
    named = event_id if event_id is not None else new_id()
    sent = line
    if event_id is None:
        line = b'%b,"id":"%b"}' % (line[:-1], named.encode())
    if len(line) > limits.event_bytes_max:
        flaws = [*flaws, _oversized(limits)]
    if limits.plan is not None and not flaws and limits.plan.mode_of(fields["type"]) == "reject":
        flaws = limits.plan.violations(fields["type"], line, bounds.allowance)
    if flaws:
        return _rejected(index, event_id, fields["type"], flaws, prefix, sent.decode())
    key = fields.get("customer_id") or fields.get("anonymous_id")
    assert key is not None, "the rules ask for one"
    return Accepted(index, named, key, line)


def _rules(fields: Mapping[str, Any], bounds: _Bounds) -> Sequence[Flaw]:
    flaws: list[Flaw] = []
    customer_id, anonymous_id = fields.get("customer_id"), fields.get("anonymous_id")
    if customer_id is not None:
        _check_id("customer_id", customer_id, flaws)
    elif anonymous_id is None:
        flaws.append(Flaw("customer_id", "customer_id or anonymous_id is needed", "missing_id"))
    if anonymous_id is not None:
        _check_id("anonymous_id", anonymous_id, flaws)
    occurred_at = fields.get("occurred_at")
    if occurred_at is not None and (
        bounds.correction is not None
        or occurred_at > bounds.latest
        or occurred_at.year < times.EARLIEST.year
    ):
        _check_time(occurred_at, bounds, flaws)
    if fields["type"] in _SPECIAL:
        data = fields["data"]
        _check_payload(fields["type"], data if isinstance(data, dict) else vars(data), flaws)
    return flaws


def _check_time(claimed: datetime, bounds: _Bounds, flaws: list[Flaw]) -> None:
    if bounds.correction is not None:
        claimed = times.corrected(claimed, bounds.correction)
    elif claimed > bounds.latest:
        message = f"lies in the future; the latest accepted is {bounds.latest.isoformat()}"
        flaws.append(Flaw("occurred_at", message, "future_time"))
    if claimed < times.EARLIEST:
        flaws.append(Flaw("occurred_at", f"lies before {times.EARLIEST.year}", "invalid_time"))


def _check_id(path: str, name: str, flaws: list[Flaw]) -> None:
    why = naming.flaw_of(name)
    if why is not None:
        flaws.append(Flaw(path, why, "illegal_id"))


def _check_payload(kind: str, data: Mapping[str, Any], flaws: list[Flaw]) -> None:
    if kind == _REFERRAL:
        referred_id = data.get("referred_id")
        if referred_id is not None:
            _check_id("data.referred_id", referred_id, flaws)
    else:
        low, high = _SURVEY_SCORES[data["survey"]]
        if not low <= data["score"] <= high:
            message = f"a score of {data['survey']} is between {low} and {high}"
            flaws.append(Flaw("data.score", message, "invalid_value"))


def _oversized(limits: Limits) -> Flaw:
    return Flaw("", f"an event has at most {limits.event_bytes_max} bytes as JSON", "too_large")


def bounded(events: int, limits: Limits) -> None:
    """Raises `Unreadable` (413) when a request has too many events."""
    if events > limits.events_max:
        raise Unreadable(413, f"a request has at most {limits.events_max} events, not {events}")


def _one_by_one(body: bytes, limits: Limits, now: datetime, new_id: Callable[[], str]) -> Verdicts:
    document = decoded(body)
    values, single = _values(document)
    bounded(len(values), limits)
    bounds = _bounds(limits, now, _sent_at(document))
    verdicts = [
        _alone(index, value, limits, bounds, new_id, "" if single else f"events.{index}")
        for index, value in enumerate(values)
    ]
    return Verdicts(
        [one for one in verdicts if isinstance(one, Accepted)],
        [one for one in verdicts if isinstance(one, Rejected)],
        bounds.correction,
    )


def decoded(body: bytes) -> Any:
    """A body's JSON; raises `Unreadable` (400) for what is none."""
    try:
        return json.loads(body.decode())
    except UnicodeDecodeError:
        raise Unreadable(400, "the body is not UTF-8") from None
    except RecursionError:
        raise Unreadable(400, "the body is nested too deeply to be read") from None
    except json.JSONDecodeError as error:
        raise Unreadable(400, f"the body is not JSON: {error}") from None
    except ValueError:
        raise Unreadable(400, "the body holds a number with too many digits") from None


def _values(document: Any) -> tuple[Sequence[Any], bool]:
    """The events of a decoded body, and whether it is a single one."""
    if not isinstance(document, dict):
        raise Unreadable(422, 'the body must be an event, or {"events": […]}')
    if "events" not in document:
        return [{name: one for name, one in document.items() if name != "sent_at"}], True
    errors = [
        Flaw(name, "unknown field beside events", "unknown_field").under("")
        for name in document
        if name not in _BESIDE_EVENTS
    ]
    if not isinstance(document["events"], list) or not document["events"]:
        errors.append({"path": "events", "message": "must be a list with at least one event"})
    if errors:
        raise Unreadable(422, "the request is not valid", errors[:20])
    return document["events"], False


def _sent_at(document: Mapping[str, Any]) -> datetime | None:
    """When the client sent the request, if it says so; raises `Unreadable` (422)."""
    try:
        return SENT_AT.validate_python(document.get("sent_at"))
    except ValidationError as error:
        flaws = flaws_of(error, document)
        errors = [Flaw("sent_at", one.message, "invalid_time").under("") for one in flaws]
        raise Unreadable(422, "the request is not valid", errors) from None


def _alone(
    index: int,
    value: Any,
    limits: Limits,
    bounds: _Bounds,
    new_id: Callable[[], str],
    prefix: str,
) -> Accepted | Rejected:
    if not isinstance(value, dict):
        flaw = Flaw("", "an event is an object", "not_an_object")
        return _rejected(index, None, None, [flaw], prefix, shown(value))
    event_id, kind = _short(value.get("id"), _ID_CHARS_MAX), _short(value.get("type"))
    text = shown(value)
    flaws = hostile.find(value, limits.nesting_depth_max)
    model = model_of(kind) if kind else None
    if not flaws and _is_oversized(text, limits):
        flaws = [_oversized(limits)]
    if not flaws and model is None:
        flaws = [_unknown_type(value)]
    if flaws or model is None:
        return _rejected(index, event_id, kind, flaws, prefix, text)
    try:
        event = model.model_validate_json(text, extra="forbid")
    except ValidationError as error:
        return _rejected(index, event_id, kind, _flaws(model, value, error), prefix, text)
    return _finish(index, event, limits, bounds, new_id, prefix)


def _is_oversized(text: str, limits: Limits) -> bool:
    """Whether an event is larger than it may be; `text` is at least as long as its UTF-8."""
    if len(text) <= limits.event_bytes_max:
        return False
    written = json.dumps(json.loads(text), separators=(",", ":"), ensure_ascii=False)
    return len(written.encode(errors="replace")) > limits.event_bytes_max


def _flaws(model: type[IntakeEvent], value: dict[str, Any], error: ValidationError) -> list[Flaw]:
    """The flaws of an event. Where there are thousands only its beginnings are judged in detail:
    pydantic spells out all errors or none, which would cost seconds and hundreds of megabytes."""
    count = error.error_count()
    if count <= _ERRORS_MAX:
        return flaws_of(error, value)
    try:
        model.model_validate_json(shown(beginnings(value, _BEGINNING)), extra="forbid")
    except ValidationError as first:
        flaws = flaws_of(first, value)
    else:
        flaws = []
    return flaws or [Flaw("", f"{count} values are wrong", "invalid_value")]


def _unknown_type(value: dict[str, Any]) -> Flaw:
    if "type" not in value:
        return Flaw("type", "required", "missing_field")
    return Flaw("type", "unknown event type; GET /v1/event-types lists them", "unknown_type")


def _rejected(
    index: int,
    event_id: str | None,
    kind: str | None,
    flaws: Sequence[Flaw],
    prefix: str,
    body: str,
) -> Rejected:
    errors = [flaw.under(prefix) for flaw in flaws]
    return Rejected(index, event_id, kind, flaws[0].reason, errors, body)


def shown(value: Any) -> str:
    """JSON in ASCII, so that even half a surrogate pair can be kept; empty when nested too deep."""
    try:
        return json.dumps(value, separators=(",", ":"))
    except RecursionError:
        return ""


def _short(value: Any, chars_max: int = _TYPE_CHARS_MAX) -> str | None:
    """A name to show in lists, if it is one that can be kept and shown."""
    if isinstance(value, str) and value.isprintable():
        return value[:chars_max]
    return None
