"""Calls as clients send them, and what becomes of them."""

import json
from itertools import count
from typing import Any

from services.ingest.domain.segment.calls import Kind, read_request
from services.ingest.domain.segment.verdict import Rules, judge_calls
from services.ingest.domain.verdict import Limits, Verdicts
from tests.unit.ingest.cases import NOON


def call(kind: str = "track", **given: Any) -> dict[str, Any]:
    return {"type": kind, "messageId": "m-1", "userId": "c-1", **given}


def track(event: str, properties: Any = None, **given: Any) -> dict[str, Any]:
    return call(event=event, properties={} if properties is None else properties, **given)


def bought(**properties: Any) -> dict[str, Any]:
    """An order, with fields replaced; None leaves one out."""
    given = {"order_id": "o-1", "revenue": 12.99, "currency": "GBP"} | properties
    return track("Order Completed", {name: one for name, one in given.items() if one is not None})


def judged(body: Any, kind: Kind | None = None, **rules: Any) -> Verdicts:
    """The verdicts on a body (bytes, text or a value), or on a list of calls as a batch."""
    if isinstance(body, list):
        body = {"batch": body}
    if not isinstance(body, bytes | str):
        body = json.dumps(body)
    content = body if isinstance(body, bytes) else body.encode()
    serial = count(1)
    request = read_request(content, kind)
    chosen = Rules(**{"limits": Limits(), **rules})
    return judge_calls(request, chosen, len(content), NOON, lambda: f"made-{next(serial)}")


def event_of(one: Any, **rules: Any) -> dict[str, Any]:
    """The event that a call became."""
    verdicts = judged([one], **rules)
    assert not verdicts.rejected, verdicts.rejected
    event: dict[str, Any] = json.loads(verdicts.accepted[0].line)
    return event


def data_of(one: Any, **rules: Any) -> Any:
    return event_of(one, **rules)["data"]


def flaws(one: Any, **rules: Any) -> list[tuple[str, str]]:
    """(path, message) of what was wrong with a call, with paths within it."""
    return [
        (error["path"].removeprefix("batch.0").removeprefix("."), error["message"])
        for rejected in judged([one], **rules).rejected
        for error in rejected.errors
    ]


def paths(one: Any, **rules: Any) -> list[str]:
    return [path for path, _ in flaws(one, **rules)]
