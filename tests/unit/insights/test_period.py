"""What `from` and `to` mean."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from services.insights.domain.period import NotAPeriod, Period, period
from shared.testing.builders import NOON

TODAY = NOON.date()
LIMITS = {"days_default": 30, "days_max": 400}


def test_without_bounds_it_is_the_thirty_days_that_end_with_today() -> None:
    found = period(None, None, NOON, **LIMITS)
    assert found == Period(TODAY - timedelta(days=29), TODAY + timedelta(days=1))
    assert found.days == 30


def test_at_midnight_today_is_the_day_that_begins() -> None:
    midnight = datetime(2026, 3, 2, tzinfo=UTC)
    assert period(None, None, midnight, **LIMITS).end == date(2026, 3, 3)


@pytest.mark.parametrize(
    ("first", "end", "expected"),
    [
        (date(2026, 1, 1), date(2026, 2, 1), Period(date(2026, 1, 1), date(2026, 2, 1))),
        # Midnight as an end excludes the day it begins; a later instant includes its day.
        (
            datetime(2026, 1, 1, tzinfo=UTC),
            datetime(2026, 2, 1, tzinfo=UTC),
            Period(date(2026, 1, 1), date(2026, 2, 1)),
        ),
        (
            datetime(2026, 1, 1, 23, tzinfo=UTC),
            datetime(2026, 2, 1, 0, 0, 1, tzinfo=UTC),
            Period(date(2026, 1, 1), date(2026, 2, 2)),
        ),
        # The day is the one in UTC, wherever the caller is.
        (
            datetime(2026, 1, 1, 0, 30, tzinfo=timezone(timedelta(hours=2))),
            date(2026, 2, 1),
            Period(date(2025, 12, 31), date(2026, 2, 1)),
        ),
        (None, date(2026, 2, 1), Period(date(2026, 1, 2), date(2026, 2, 1))),
    ],
)
def test_instants_stand_for_their_utc_days(first: date | None, end: date, expected: Period) -> None:
    assert period(first, end, NOON, **LIMITS) == expected


def test_bounds_are_instants_at_midnight_utc() -> None:
    found = Period(date(2026, 1, 1), date(2026, 2, 1))
    assert found.starts_at == datetime(2026, 1, 1, tzinfo=UTC)
    assert found.ends_at == datetime(2026, 2, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("first", "end"),
    [
        (date(2026, 2, 1), date(2026, 2, 1)),
        (date(2026, 2, 2), date(2026, 2, 1)),
        (date(2024, 1, 1), date(2026, 2, 1)),
    ],
)
def test_empty_backward_and_endless_spans_are_refused(first: date, end: date) -> None:
    with pytest.raises(NotAPeriod):
        period(first, end, NOON, **LIMITS)
