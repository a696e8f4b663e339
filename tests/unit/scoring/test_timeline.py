"""Assessments in time: reviews of silence, monotone risk, finite figures, true reasons."""

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scoring.domain.features import EMPTY, CustomerState
from services.scoring.domain.stages import SEGMENTS
from services.scoring.domain.telling import assessments_of, news
from services.scoring.domain.timeline import LATEST, instant, review_cause
from shared.events.commerce import OrderCompleted
from shared.events.engagement import SessionStarted
from shared.events.envelope import Event
from shared.events.registry import parse
from shared.events.scoring import ThresholdCrossed
from shared.testing.builders import NOON, event
from tests.unit.scoring.builders import (
    DAY,
    RULES,
    bought,
    folded,
    happenings,
    instants,
    judged,
    quick,
)

WEEKLY = bought(*(NOON - timedelta(days=7 * weeks) for weeks in range(8)))


@quick
@given(st.lists(happenings, min_size=1, max_size=10), instants, st.integers(0, 4_000))
def test_whatever_happened_the_picture_is_finite_and_silence_never_lowers_the_risk(
    events: list[Event], at: datetime, days: int
) -> None:
    state = folded(events)
    at = instant(at, None)
    later = instant(at + days * DAY, at)
    first, *_, last = assessments_of(judged(state, at, later), RULES)
    assert first.churn.risk <= last.churn.risk
    for picture in (first, last):
        assert 0 <= picture.churn.risk <= 1
        assert picture.rfm.recency_days is None or picture.rfm.recency_days >= 0
        assert all(math.isfinite(one.contribution) for one in picture.churn.drivers)
        assert picture.clv.interval[0] <= picture.clv.interval[1]
        assert picture.clv.predicted_12m >= 0
        assert picture.segment in {one.name for one in SEGMENTS}


@quick
@given(st.lists(happenings, min_size=1, max_size=10), instants)
def test_what_is_told_can_be_read_back(events: list[Event], at: datetime) -> None:
    for told in news(judged(folded(events), instant(at, None)), RULES):
        assert isinstance(read := parse(told.value), told.kind)
        assert read.to_json() == told.value
        assert (read.id, read.subject, read.cause) == (told.id, told.subject, told.cause)


@pytest.mark.parametrize("state", [WEEKLY, bought(NOON), bought(NOON - 90 * DAY, NOON)])
def test_the_next_review_is_when_silence_first_changes_something(state: CustomerState) -> None:
    """Looking every day finds each change on the day of a review, and none between."""
    (start,) = judged(state, NOON)
    reviewed = {one.visit.as_of.date() for one in judged(state, NOON, NOON + 900 * DAY)[1:-1]}
    looked = judged(state, *(NOON + days * DAY for days in range(900)))
    standings = [start.step.standing]
    changed = set()
    for one in looked:
        now, before = one.step.standing, standings[-1]
        if (now.band, now.lifecycle) != (before.band, before.lifecycle):
            changed.add(one.visit.as_of.date())
        standings.append(now)
    assert changed
    assert changed <= reviewed


def test_reviews_are_made_first_and_as_of_when_they_were_due() -> None:
    outcomes = judged(WEEKLY, NOON, NOON + 400 * DAY)
    instants_seen = [one.visit.as_of for one in outcomes]
    assert instants_seen == sorted(instants_seen)
    reviews = outcomes[1:-1]
    assert 3 <= len(reviews) <= 6
    assert outcomes[0].next_review_at == reviews[0].visit.as_of
    assert reviews[0].visit.cause == review_cause("anna", reviews[0].visit.as_of)
    assert reviews[-1].next_review_at is None


def test_one_long_silence_or_many_looks_cross_the_same() -> None:
    once = judged(WEEKLY, NOON, NOON + 400 * DAY)
    often = judged(WEEKLY, *(NOON + 10 * days * DAY for days in range(41)))

    def crossings(outcomes: list[object]) -> list[tuple[datetime, str]]:
        return [
            (one.time, one.data.threshold)
            for told in news(outcomes, RULES)  # type: ignore[arg-type]
            if isinstance(one := parse(told.value), ThresholdCrossed)
        ]

    assert crossings(list(once)) == crossings(list(often)) != []


def test_reasons_add_up_and_point_the_right_way() -> None:
    seen = judged(WEEKLY, NOON, NOON + 60 * DAY)
    fresh, late = (assessments_of([one], RULES)[0] for one in (seen[0], seen[-1]))
    silence = {one.signal: one for one in late.churn.drivers}["recency"]
    assert late.churn.drivers[0] == silence
    assert silence.contribution > 0
    assert silence.text == "has not ordered for 60 days; usually every 7"

    def logit(risk: float) -> float:
        return math.log(risk / (1 - risk))

    moved = logit(late.churn.risk) - logit(fresh.churn.risk)
    told = sum(one.contribution for one in late.churn.drivers) - sum(
        one.contribution for one in fresh.churn.drivers
    )
    assert told == pytest.approx(moved, abs=1e-3)


def test_who_never_bought_crosses_nothing_and_is_never_due() -> None:
    outcomes = judged(folded([event(SessionStarted)]), NOON, NOON + 900 * DAY)
    assert len(outcomes) == 2
    assert all(one.next_review_at is None for one in outcomes)
    assert all(not one.step.crossings for one in outcomes)
    assert outcomes[0].step.standing.lifecycle == "prospect"


def test_a_clock_far_ahead_or_stepping_back_is_bounded() -> None:
    assert instant(datetime(9998, 1, 1, tzinfo=UTC), None) == LATEST
    assert instant(NOON - DAY, NOON) == NOON
    ahead = bought(datetime(9990, 1, 1, tzinfo=UTC))
    (outcome,) = judged(ahead, NOON)
    (picture,) = assessments_of([outcome], RULES)
    assert picture.rfm.recency_days == 0


def test_small_moves_are_told_when_they_add_up_to_a_point() -> None:
    """Risk creeps up by fractions of a point a day: it is told, but not daily."""
    outcomes = judged(bought(NOON), *(NOON + days * DAY for days in range(40)))
    told = [one.step.published for one in outcomes]
    assert 0 < sum(told[1:]) < len(told) - 1


def test_the_empty_state_can_be_judged() -> None:
    (outcome,) = judged(EMPTY, NOON)
    (picture,) = assessments_of([outcome], RULES)
    assert picture.clv.historic == 0
    assert picture.clv.currency == "EUR"


def test_a_million_events_of_one_customer_stay_one_small_state() -> None:
    state = folded([event(OrderCompleted, order_id=f"o-{n}") for n in range(2_000)])
    assert len(state.days) == 1
    (picture,) = assessments_of(judged(state, NOON), RULES)
    assert picture.rfm.frequency == 2_000
