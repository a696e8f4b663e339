"""A second look at a refused event: what is wrong with it now, and under which id it may go."""

import json
from datetime import datetime

from services.ingest.domain.flaws import Flaw
from services.ingest.domain.verdict import Accepted, Limits, Rejected, Unreadable, judge
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
    text: str, *, kept: str | None, rejection_id: str, limits: Limits, now: datetime
) -> Accepted | Rejected:
    """Judges one event by itself, with paths from its top.

    One without an id gets `kept`, or one that follows from `rejection_id`, so that every replay of
    it has the same.
    """
    if not _is_one_event(text):
        message = "not one whole event: what was sent cannot be replayed, a corrected event can"
        return _rejected(text, None, Flaw("", message, "not_an_object"))
    spare = kept or derived_event_id(rejection_id, _DERIVED)
    try:
        verdicts = judge(text.encode(), limits, now, lambda: spare)
    except Unreadable as error:
        return _rejected(text, None, Flaw("", error.detail, "not_an_object"))
    if verdicts.rejected:
        return verdicts.rejected[0]
    (accepted,) = verdicts.accepted
    if kept is not None and accepted.id != kept:
        message = f"must stay {kept!r} or be left out, so that the event counts once"
        return _rejected(text, accepted.id, Flaw("id", message, "invalid_value"))
    return accepted


def _is_one_event(text: str) -> bool:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and "events" not in value


def _rejected(text: str, event_id: str | None, flaw: Flaw) -> Rejected:
    return Rejected(0, event_id, None, flaw.reason, [flaw.under("")], text)
