"""A second look at a refused event: its id, and what is wrong with it now."""

import json
from datetime import timedelta

import pytest

from services.ingest.domain.mending import judge_again, kept_id
from services.ingest.domain.segment.verdict import Rules
from services.ingest.domain.verdict import Accepted, Limits, Rejected
from tests.unit.ingest.cases import NOON, judged, order

RULES = Rules(Limits(), currency="EUR")


def again(text: str, kept: str | None = None, hours: int = 0) -> Accepted | Rejected:
    now = NOON + timedelta(hours=hours)
    return judge_again(
        text, kept=kept, source="/sources/k", rejection_id="r-1", rules=RULES, now=now
    )


def paths(verdict: Accepted | Rejected) -> list[str]:
    assert isinstance(verdict, Rejected)
    return [error["path"] for error in verdict.errors]


@pytest.mark.parametrize(
    ("event_id", "replay_id", "kept"),
    [
        (None, None, None),
        ("", None, None),
        ("e-1", None, "e-1"),
        ("e-1", "e-2", "e-2"),
        ("x" * 200, None, None),
        ("x" * 199, None, "x" * 199),
    ],
)
def test_the_id_is_the_first_replays_or_the_whole_one_that_came(
    event_id: str | None, replay_id: str | None, kept: str | None
) -> None:
    assert kept_id(event_id, replay_id) == kept


def test_an_event_without_an_id_gets_the_same_one_every_time() -> None:
    event = order()
    del event["id"]

    first, second = again(json.dumps(event)), again(json.dumps(event), hours=9)

    assert isinstance(first, Accepted)
    assert first == second


def test_an_event_keeps_its_id_or_is_refused() -> None:
    text = json.dumps(order(id="e-1"))

    assert isinstance(again(text, "e-1"), Accepted)
    assert paths(again(text, "e-2")) == ["id"]


def test_a_verdict_depends_on_the_present() -> None:
    text = json.dumps(order(occurred_at="2026-03-02T15:00:00Z"))

    assert paths(again(text)) == ["occurred_at"]
    assert isinstance(again(text, hours=3), Accepted)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5",
        "[]",
        '{"a',
        '{"events": []}',
        '{"\\u0065vents": [{}]}',
        '{"a":' * 9_000,
        "9" * 5_000,
    ],
)
def test_what_is_not_one_whole_event_is_refused_as_such(text: str) -> None:
    assert paths(again(text)) == [""]


def test_what_was_refused_is_kept_without_an_id_that_nobody_sent() -> None:
    event = order(customer_id="null")
    del event["id"]

    (one,) = judged(event).rejected

    assert "id" not in json.loads(one.body)


def test_a_refused_call_of_segments_is_judged_as_the_call_that_it_was() -> None:
    call = {
        "type": "track",
        "event": "Order Completed",
        "messageId": "m-1",
        "userId": "c-1",
        "sentAt": "2001-01-01T00:00:00Z",
        "timestamp": NOON.isoformat(),
        "properties": {"order_id": "o-1", "revenue": 12.5},
    }

    without_currency = judge_again(
        json.dumps(call),
        kept="m-1",
        source="/sources/k",
        rejection_id="r-1",
        rules=Rules(Limits()),
        now=NOON,
    )
    assert paths(without_currency) == ["properties.currency"]
    accepted = again(json.dumps(call), kept="m-1")
    assert isinstance(accepted, Accepted)
    assert json.loads(accepted.line)["data"]["currency"] == "EUR"
    assert accepted.id == "m-1"


@pytest.mark.parametrize(
    ("recorded", "sent", "expected"),
    [
        ("/sources/k//shop", "/shop", None),
        ("/sources/k//shop", "/other", ["source"]),
        ("/sources/k//shop", "/" * 200, ["source"]),
        ("/sources/k", "/shop", None),
    ],
)
def test_a_refused_cloud_event_is_judged_as_one_and_keeps_its_source(
    recorded: str, sent: str, expected: list[str] | None
) -> None:
    cloud = {
        "specversion": "1.0",
        "id": "e-1",
        "source": sent,
        "type": "order.completed",
        "subject": "c-1",
        "data": order()["data"],
    }
    verdict = judge_again(
        json.dumps(cloud), kept="e-1", source=recorded, rejection_id="r-1", rules=RULES, now=NOON
    )
    if expected is None:
        assert verdict == judged(order()).accepted[0]
    else:
        assert paths(verdict) == expected
