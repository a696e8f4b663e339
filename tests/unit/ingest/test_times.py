"""When an event happened by a clock that may be wrong."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.bundle import Header, header_line
from services.ingest.domain.intake import ONE
from services.ingest.domain.times import EARLIEST, Correction, corrected, correction
from services.ingest.domain.verdict import Limits, Unreadable
from tests.unit.ingest.cases import NOON, flaws, judged, order

SKEW_MIN = timedelta(minutes=5)
FUTURE_MAX = timedelta(hours=1)
INSTANTS = st.datetimes(timezones=st.just(UTC))
# Of the years that a request can really be received in.
RECEIPTS = st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


def how(sent_at: datetime | None, received_at: datetime = NOON) -> Correction:
    return correction(sent_at, received_at, skew_min=SKEW_MIN, future_max=FUTURE_MAX)


@pytest.mark.parametrize(
    ("fast_by", "happened_at"),
    [
        (timedelta(0), NOON),
        (timedelta(minutes=4, seconds=59), NOON),
        (timedelta(minutes=-4, seconds=-59), NOON),
        (timedelta(minutes=5), NOON - timedelta(minutes=5)),
        (timedelta(minutes=-5), NOON + timedelta(minutes=5)),
        (timedelta(hours=-30), NOON + timedelta(hours=1)),  # claimed at noon by a clock so slow
        (timedelta(days=400), NOON - timedelta(days=400)),
    ],
)
def test_only_a_skew_of_minutes_is_corrected(fast_by: timedelta, happened_at: datetime) -> None:
    assert corrected(NOON, how(NOON + fast_by)) == happened_at


def test_without_sent_at_only_the_future_is_bounded() -> None:
    assert corrected(NOON, how(None)) == NOON
    assert corrected(NOON + timedelta(days=9), how(None)) == NOON + FUTURE_MAX


@given(RECEIPTS, INSTANTS, INSTANTS, INSTANTS)
def test_events_of_one_request_are_never_reordered(
    received_at: datetime, sent_at: datetime, one: datetime, other: datetime
) -> None:
    first, second = sorted((one, other))
    by = how(sent_at, received_at)
    assert corrected(first, by) <= corrected(second, by) <= received_at + FUTURE_MAX


@given(RECEIPTS, st.timedeltas(timedelta(days=-9_000), timedelta(days=9_000)), st.data())
def test_a_clock_that_is_off_by_anything_gives_the_true_time(
    received_at: datetime, skew: timedelta, data: st.DataObject
) -> None:
    """Sent at the instant of the receipt, after the event: the truth comes out to the microsecond,
    or what the client said where its clock is hardly off."""
    happened_at = received_at - data.draw(st.timedeltas(timedelta(0), timedelta(days=3_000)))
    found = corrected(happened_at - skew, how(received_at - skew, received_at))
    if abs(skew) >= SKEW_MIN:
        assert found == happened_at
    else:
        assert abs(found - happened_at) < SKEW_MIN


@given(RECEIPTS, st.timedeltas(-SKEW_MIN, SKEW_MIN), st.timedeltas(timedelta(0), FUTURE_MAX))
def test_delays_of_the_network_are_not_folded_into_times(
    received_at: datetime, delay: timedelta, ago: timedelta
) -> None:
    if abs(delay) < SKEW_MIN:
        claimed = received_at - ago
        assert corrected(claimed, how(received_at - delay, received_at)) == claimed


@given(RECEIPTS, INSTANTS, INSTANTS)
def test_a_bundle_s_header_carries_the_correction_exactly(
    received_at: datetime, sent_at: datetime, claimed: datetime
) -> None:
    by = how(sent_at, received_at)
    line = header_line(
        verdict="accepted",
        source="/sources/k",
        request="r",
        received_at=received_at,
        default_at=received_at,
        correction=by,
    )
    assert Header.model_validate_json(line).happened_at(claimed) == corrected(claimed, by)


def test_a_bundle_of_who_tells_no_sent_at_says_nothing_of_it() -> None:
    line = header_line(
        verdict="accepted", source="s", request="r", received_at=NOON, default_at=NOON
    )
    assert set(json.loads(line)) == {
        "bundle", "verdict", "source", "request", "received_at", "default_at",
    }  # fmt: skip
    assert Header.model_validate_json(line).happened_at(NOON) == NOON


def sent(sent_at: Any, *events: dict[str, Any]) -> dict[str, Any]:
    return {"events": list(events), "sent_at": sent_at}


@pytest.mark.parametrize(
    "body",
    [
        sent("2026-03-02T14:00:00Z", order()),
        sent("2026-03-02T16:00:00+02:00", order()),
        dict(reversed(sent("2026-03-02T14:00:00Z", order()).items())),
        sent("2026-03-02T14:00:00Z", order(), {}),
        order() | {"sent_at": "2026-03-02T14:00:00Z"},
    ],
    ids=["plain", "other zone", "sent_at first", "with a bad neighbour", "single"],
)
def test_sent_at_is_understood_wherever_it_stands_and_the_line_stays_as_sent(body: Any) -> None:
    verdicts = judged(body)

    assert verdicts.correction == Correction(timedelta(hours=-2), NOON + FUTURE_MAX)
    assert verdicts.accepted[0].line == judged(order()).accepted[0].line


def test_with_sent_at_the_future_is_bounded_and_without_it_refused() -> None:
    ahead = order(occurred_at="2026-03-09T12:00:00Z")

    assert judged(sent("2026-03-09T12:00:00Z", ahead)).accepted
    assert judged(sent("2026-03-02T12:00:00Z", ahead)).accepted
    assert flaws({"events": [ahead]})[0][0] == "events.0.occurred_at"


def test_what_a_correction_moves_before_history_is_refused() -> None:
    old = order(occurred_at="1971-01-01T00:00:00Z")

    assert judged(sent("2026-03-02T12:00:00Z", old)).accepted
    assert flaws(sent("2036-03-02T12:00:00Z", old)) == [
        ("events.0.occurred_at", "lies before 1970")
    ]


@pytest.mark.parametrize(
    "sent_at",
    [
        1_700_000_000, True, "", "noon", "2026-03-02", "2026-03-02T12:00:00", [], {},
        "2026-02-30T12:00:00Z", "\ud800",
    ],
)  # fmt: skip
@pytest.mark.parametrize("single", [True, False])
def test_a_sent_at_that_is_no_time_is_refused_at_its_path(sent_at: Any, single: bool) -> None:
    body = order() | {"sent_at": sent_at} if single else sent(sent_at, order())
    with pytest.raises(Unreadable) as refused:
        judged(body)
    assert refused.value.status == 422
    assert [one["path"] for one in refused.value.errors] == ["sent_at"]


@pytest.mark.parametrize("sent_at", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
@pytest.mark.parametrize("claimed", ["1970-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
def test_no_clock_is_so_wrong_that_the_door_fails(sent_at: str, claimed: str) -> None:
    verdicts = judged(sent(sent_at, order(occurred_at=claimed)))
    assert len(verdicts.accepted) + len(verdicts.rejected) == 1


@pytest.mark.parametrize("digits", range(10))
def test_a_time_has_up_to_nine_fraction_digits(digits: int) -> None:
    fraction = "." + "123456789"[:digits] if digits else ""
    (one,) = judged(order(occurred_at=f"2026-03-02T11:00:00{fraction}Z")).accepted

    microseconds = int("123456"[:digits].ljust(6, "0"))
    expected = datetime(2026, 3, 2, 11, 0, 0, microseconds, tzinfo=UTC)
    assert ONE.validate_json(one.line).occurred_at == expected


def test_years_old_history_is_accepted_down_to_the_stated_bound() -> None:
    assert judged(order(occurred_at=EARLIEST.isoformat())).accepted
    before = (EARLIEST - timedelta(microseconds=1)).astimezone(timezone(timedelta(hours=9)))
    assert flaws(order(occurred_at=before.isoformat())) == [("occurred_at", "lies before 1970")]


def test_limits_of_skew_and_future_are_settings() -> None:
    limits = Limits(skew_seconds_min=10.0, future_seconds_max=60.0)
    verdicts = judged(sent("2026-03-02T11:59:00Z", order()), limits)

    assert verdicts.correction == Correction(timedelta(minutes=1), NOON + timedelta(minutes=1))
