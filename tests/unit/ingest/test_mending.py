"""A second look at a refused event: its id, and what is wrong with it now."""

import json
from datetime import timedelta

import pytest

from services.ingest.domain.mending import judge_again, kept_id
from services.ingest.domain.verdict import Accepted, Limits, Rejected
from tests.unit.ingest.cases import NOON, judged, order


def again(text: str, kept: str | None = None, hours: int = 0) -> Accepted | Rejected:
    now = NOON + timedelta(hours=hours)
    return judge_again(text, kept=kept, rejection_id="r-1", limits=Limits(), now=now)


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
