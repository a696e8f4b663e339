"""A second look at a refused event: what is wrong with it now, and under which id it may go."""

import json
from dataclasses import replace
from datetime import datetime
from typing import Any

from services.ingest.domain.bundle import below
from services.ingest.domain.cloudevents import judge_cloudevents, source_room
from services.ingest.domain.flaws import Flaw
from services.ingest.domain.segment.calls import kind_of, read_request
from services.ingest.domain.segment.verdict import Rules, judge_calls
from services.ingest.domain.verdict import Accepted, Rejected, Unreadable, Verdicts, judge
from shared.ids import derived_event_id

# A longer id was cut when it was filed: what is left of it is not the event's.
_ID_CHARS_MAX = 200
_DERIVED = "rejection.replayed"


def kept_id(event_id: str | None, replay_id: str | None) -> str | None:
    """The id that a refused event must keep; None while it may still be given one.

    `replay_id` was fixed by the first replay; `event_id` is what the client sent.
    """
    if replay_id is not None:
        return replay_id
    return event_id if event_id and len(event_id) < _ID_CHARS_MAX else None


def judge_again(
    text: str, *, kept: str | None, source: str, rejection_id: str, rules: Rules, now: datetime
) -> Accepted | Rejected:
    """Judges one event, CloudEvent, or call of Segment's by itself, with paths from its top.

    `source` is what the refused event was recorded under, which it keeps. One without an
    id gets `kept`, or one that follows from `rejection_id`, so that every replay of it has the
    same.
    """
    value = _one_event(text)
    if value is None:
        message = "not one whole event: what was sent cannot be replayed, a corrected event can"
        return _rejected(text, None, Flaw("", message, "not_an_object"))
    spare = kept or derived_event_id(rejection_id, _DERIVED)
    try:
        verdicts = _judged(value, text.encode(), source, rules, now, spare)
    except Unreadable as error:
        return _rejected(text, None, Flaw("", error.detail, "not_an_object"))
    if verdicts.rejected:
        return verdicts.rejected[0]
    (accepted,) = verdicts.accepted
    if kept is not None and accepted.id != kept:
        message = f"must stay {kept!r} or be left out, so that the event counts once"
        return _rejected(text, accepted.id, Flaw("id", message, "invalid_value"))
    own, said = _own(source), "".join(verdicts.sources)
    if said and source not in (own, below(own, said)):
        message = f"must stay {source[len(own) + 1 :]!r}, so that the event counts once"
        return _rejected(text, accepted.id, Flaw("source", message, "invalid_value"))
    return accepted


def _own(source: str) -> str:
    """The key's part of a recorded source: `/sources/<key>`."""
    return "/".join(source.split("/", 3)[:3])


def _judged(
    value: Any, body: bytes, source: str, rules: Rules, now: datetime, spare: str
) -> Verdicts:
    if "specversion" in value:
        return judge_cloudevents(
            "structured",
            {},
            body,
            rules.limits,
            now,
            lambda: spare,
            source_chars_max=source_room(_own(source)),
        )
    kind = kind_of(value.get("type"))
    if kind is None:
        return judge(body, rules.limits, now, lambda: spare)
    # When it was sent says nothing of when it is replayed.
    request = replace(read_request(body, kind), sent_at=None)
    return judge_calls(request, rules, len(body), now, lambda: spare)


def _one_event(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and "events" not in value else None


def _rejected(text: str, event_id: str | None, flaw: Flaw) -> Rejected:
    return Rejected(0, event_id, None, flaw.reason, [flaw.under("")], text)
