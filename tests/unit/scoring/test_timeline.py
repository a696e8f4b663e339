"""Assessments in time: reviews of silence, monotone risk, finite figures, true reasons."""

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.scoring.domain.features import EMPTY, CustomerState
from services.scoring.domain.models import PRIOR
from services.scoring.domain.stages import SEGMENTS
from services.scoring.domain.standing import Standing
from services.scoring.domain.telling import assessments_of, news
from services.scoring.domain.timeline import LATEST, Rules, Visit, assess, instant, review_cause
from shared.events.commerce import OrderCancelled, OrderCompleted
from shared.events.engagement import SessionStarted
from shared.events.envelope import Event
from shared.events.registry import parse
from shared.events.scoring import ThresholdCrossed
from shared.testing.builders import NOON, event
from tests.unit.scoring.builders import (
    ANNA,
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


def shown(standing: Standing) -> tuple[str, ...]:
    """What lists are filtered by."""
    return standing.band, standing.lifecycle, standing.segment, standing.tier


@pytest.mark.parametrize(
    "state",
    [
        WEEKLY,
        bought(NOON),
        bought(NOON - 90 * DAY, NOON),
        # Whose value falls out of its tier long before the band moves, and long after.
        bought(*(NOON - 30 * DAY * one for one in range(12)), total="35.00"),
        bought(*(NOON - 5 * DAY * one for one in range(4)), total="90.00"),
    ],
)
def test_the_next_review_is_when_silence_first_changes_something(state: CustomerState) -> None:
    """Looking every day finds each change on the day of a review, and none between."""
    (start,) = judged(state, NOON)
    reviewed = {one.visit.as_of.date() for one in judged(state, NOON, NOON + 900 * DAY)[1:-1]}
    looked = judged(state, *(NOON + days * DAY for days in range(900)))
    standings = [start.step.standing]
    changed = set()
    for one in looked:
        now, before = one.step.standing, standings[-1]
        if shown(now) != shown(before):
            changed.add(one.visit.as_of.date())
        standings.append(now)
    assert changed
    assert changed <= reviewed


def test_reviews_are_made_first_and_as_of_when_they_were_due() -> None:
    outcomes = judged(WEEKLY, NOON, NOON + 400 * DAY)
    instants_seen = [one.visit.as_of for one in outcomes]
    assert instants_seen == sorted(instants_seen)
    reviews = outcomes[1:-1]
    # Of bands and stages, and of each point of risk between.
    assert 3 <= len(reviews) <= 100
    assert outcomes[0].next_review_at == reviews[0].visit.as_of
    assert reviews[0].visit.cause == review_cause("anna", reviews[0].visit.as_of)
    assert reviews[-1].next_review_at is not None
    assert reviews[-1].next_review_at > NOON + 400 * DAY
    assert judged(WEEKLY, NOON + 4_000 * DAY)[0].next_review_at is None


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


def test_small_moves_in_silence_are_told_when_they_add_up_to_a_point() -> None:
    """Nobody looks but the reviews: what was told last is never two points behind."""
    reviews = judged(bought(NOON), NOON, NOON + 300 * DAY)[:-1]
    told = [one.step.standing.risk for one in reviews if one.step.published]
    looks = judged(bought(NOON), *(NOON + days * DAY for days in range(1, 300)))
    assert len(told) < 60
    for look in looks:
        known = [
            one.step.standing.risk
            for one in reviews
            if one.step.published and one.visit.as_of <= look.visit.as_of
        ]
        (picture,) = assessments_of([look], RULES)
        assert picture.churn.risk - known[-1] < 0.02


def test_value_falls_out_of_its_tier_in_silence_and_that_is_told() -> None:
    state = bought(*(NOON - 30 * DAY * one for one in range(12)), total="35.00")
    reviews = judged(state, NOON, NOON + 900 * DAY)
    fallen = next(one for one in reviews if one.step.standing.tier != "high" and one.step.published)
    assert reviews[0].step.standing.tier == "high"
    assert fallen.step.previous is not None
    assert fallen.step.previous.tier == "high"
    before, at = (
        judged(state, fallen.visit.as_of - days * DAY)[-1].step.standing.tier for days in (1, 0)
    )
    assert (before, at) == ("high", "medium")


def test_a_cancelled_order_makes_a_prospect_again_and_the_bands_go_down() -> None:
    order = event(OrderCompleted, order_id="o-1")
    placed, gone = folded([order]), folded([order, event(OrderCancelled, order_id="o-1")])
    later = NOON + 400 * DAY
    visits = [
        Visit(ANNA, placed, NOON, "e-1", NOON),
        Visit(ANNA, gone, later, "e-2", later),
    ]
    *_, last = assess(visits, {}, RULES, lambda due: due)
    (picture,) = assessments_of([last], RULES)
    assert [(one.threshold.name, one.direction) for one in last.step.crossings] == [
        ("churn_risk.high", "down"),
        ("churn_risk.critical", "down"),
    ]
    assert (picture.lifecycle, picture.churn.band, picture.churn.risk) == ("prospect", "low", 0)
    assert not picture.churn.drivers
    assert last.next_review_at is None


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


def spent(*orders: tuple[str, str]) -> CustomerState:
    """Orders of (total, currency), one a day."""
    return folded(
        [
            event(
                OrderCompleted,
                order_id=f"o-{number}",
                total=total,
                currency=currency,
                at=NOON - number * DAY,
            )
            for number, (total, currency) in enumerate(orders)
        ]
    )


def test_a_customers_money_is_that_of_their_main_currency() -> None:
    shop = Rules(replace(PRIOR, currency="EUR"), horizon_days=90, currency="EUR")
    state = spent(*[("100.00", "USD")] * 20, ("1.00", "EUR"))
    (picture,) = assessments_of(judged(state, NOON, rules=shop), shop)
    assert (str(picture.clv.historic), picture.clv.currency) == ("2000.00", "USD")
    assert picture.rfm.frequency == 21


@pytest.mark.parametrize("currency", [None, "EUR"])
def test_amounts_in_another_currency_are_not_compared_with_the_models(
    currency: str | None,
) -> None:
    rules = Rules(replace(PRIOR, currency=currency), horizon_days=90, currency="EUR")
    yen = spent(*[("3000", "JPY")] * 3)
    (picture,) = assessments_of(judged(yen, NOON, rules=rules), rules)
    assert (picture.clv.tier, picture.rfm.m, str(picture.clv.historic)) == ("low", 1, "9000")
    euros = spent(*[("3000.00", "EUR")] * 3)
    (picture,) = assessments_of(judged(euros, NOON, rules=rules), rules)
    assert (picture.clv.tier, picture.rfm.m) == ("high", 5)


def test_what_a_purchase_in_another_currency_is_worth_is_the_customers_own_mean() -> None:
    home, away = (replace(PRIOR, currency=one) for one in ("JPY", "EUR"))
    yen, predicted = spent(("6000", "JPY")), []
    for model in (home, away):
        rules = Rules(model, horizon_days=90, currency="EUR")
        (picture,) = assessments_of(judged(yen, NOON, rules=rules), rules)
        predicted.append(float(picture.clv.predicted_12m))
    # A model in yen with a scale of 40 pulls 6,000 towards 40; one in euros must not.
    assert predicted[0] < predicted[1]


def test_frequency_and_its_fifth_count_the_same_orders() -> None:
    """Nine orders of one day are many orders, as they are of nine days."""
    state = folded(
        [
            event(OrderCompleted, order_id=f"o-{n}", currency=c)
            for n, c in enumerate(["GBP"] * 5 + ["EUR"] * 4)
        ]
    )
    (picture,) = assessments_of(judged(state, NOON), RULES)
    assert (picture.rfm.frequency, picture.rfm.f) == (9, 5)
