"""The envelope: derived ids, UTC, and what a payload may hold."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from pydantic import ValidationError

from shared.events.commerce import OrderCompleted
from shared.events.engagement import CustomEvent, SurveyAnswered
from shared.events.loyalty import PointsAwarded, PointsData
from shared.ids import CustomerId
from shared.testing.builders import NOON, event


def awarded(cause: str, ordinal: int = 0) -> PointsAwarded:
    return PointsAwarded.caused_by(
        cause,
        source="/loyalty",
        subject=CustomerId("c-1"),
        time=NOON,
        recordedtime=NOON,
        data=PointsData(entry_id="e", points=1, balance=1, reason="an order"),
        ordinal=ordinal,
    )


def test_the_same_cause_gives_the_same_bytes() -> None:
    assert awarded("order-1").to_json() == awarded("order-1").to_json()
    assert len({awarded("order-1").id, awarded("order-1", 1).id, awarded("order-2").id}) == 3


def test_an_event_tells_what_led_to_it() -> None:
    assert awarded("order-1").cause == "order-1"
    assert awarded("order-1").type == "points.awarded"


def test_instants_are_kept_in_utc() -> None:
    at = datetime(2026, 3, 2, 13, tzinfo=timezone(timedelta(hours=1)))
    assert event(OrderCompleted, at=at).time == NOON
    assert event(OrderCompleted, at=at).time.tzinfo is UTC


@pytest.mark.parametrize("at", ["0001-01-01T00:00:00+02:00", "9999-12-31T23:59:59-02:00"])
def test_a_time_that_utc_cannot_express_is_refused_and_does_not_crash(at: str) -> None:
    with pytest.raises(ValidationError, match="9999"):
        event(OrderCompleted, at=datetime.fromisoformat(at))


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValidationError, match="timezone"):
        event(OrderCompleted, at=NOON.replace(tzinfo=None))


@pytest.mark.parametrize(
    "wrong",
    [
        {"total": "-0.01"},
        {"total": "NaN"},
        {"total": "1.1234567"},
        {"total": "1234567890123.000001"},
        {"currency": "gbp"},
        {"order_id": ""},
        {"order_id": "o" * 201},
        {"items": [{"sku": "a", "quantity": -1, "unit_price": "1"}]},
    ],
)
def test_an_order_that_cannot_be_right_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        event(OrderCompleted, **wrong)


def test_free_properties_are_flat() -> None:
    with pytest.raises(ValidationError):
        event(CustomEvent, type="custom.x", properties={"deep": {"er": 1}})


def test_a_survey_has_the_scale_of_its_kind() -> None:
    assert event(SurveyAnswered, score=10).data.score == 10
    with pytest.raises(ValidationError):
        event(SurveyAnswered, score=11)
