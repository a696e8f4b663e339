"""The shipped journey, step by step; re-entry; what a definition must not be."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from services.campaigns import rules
from services.campaigns.domain import journey
from services.campaigns.domain.definition import Definition, Reentry
from services.campaigns.domain.facts import facts_of
from services.campaigns.domain.journey import (
    Enrolment,
    Entered,
    Leave,
    Ordered,
    Past,
    Plan,
    Refused,
    Started,
    Woken,
)
from shared.events.scoring import ThresholdCrossed
from shared.testing.builders import event

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
DAY = timedelta(days=1)
SHIPPED = Path(rules.__file__).parent / "data" / "journeys" / "win-back.json"
WIN_BACK = rules.accepted(Definition.model_validate_json(SHIPPED.read_text()))


def facts(**given: Any) -> dict[str, Any]:
    crossing: dict[str, Any] = {
        "threshold": "churn-high",
        "metric": "churn_risk",
        "direction": "up",
        "value": 0.72,
        "level": 0.7,
        "churn_risk": 0.72,
        "churn_band": "high",
        "clv_historic": "500",
        "clv_predicted_12m": "800",
        "clv_tier": "high",
        "currency": "GBP",
        "segment": "loyal",
        "lifecycle": "active",
    }
    return facts_of(event(ThresholdCrossed, **(crossing | given)))


def enrolled(**given: Any) -> Enrolment:
    return Enrolment(
        enrolment_id="en-1",
        customer_id="c-1",
        journey="win-back",
        version=1,
        state="active",
        step=WIN_BACK.start,
        facts=facts(**given),
        reason="test",
        cause="e-1",
        entered_at=NOON,
    )


def admit(*past: Past, now: datetime = NOON, **given: Any) -> Entered | Refused:
    return journey.admit(WIN_BACK, facts(**given), past, now, rules.judge)


def advance(enrolment: Enrolment, happening: journey.Happening, now: datetime) -> journey.Advance:
    return journey.advance(WIN_BACK, enrolment, happening, now, rules.judge)


def test_a_valuable_customer_rising_into_high_risk_enters_with_a_reason_in_words() -> None:
    entered = admit()
    assert isinstance(entered, Entered)
    assert "rose to 72 % (high)" in entered.reason


@pytest.mark.parametrize(
    ("given", "rule", "words"),
    [
        ({"metric": "health"}, "metric", "health crossed"),
        ({"direction": "down"}, "direction", "went down through 0.70"),
        ({"churn_band": "medium"}, "risk", "churn risk is medium"),
        ({"clv_tier": "low"}, "value", "predicted value is low (800.00 GBP"),
    ],
)
def test_others_do_not_enter_and_the_rule_says_why(
    given: dict[str, Any], rule: str, words: str
) -> None:
    refused = admit(**given)
    assert isinstance(refused, Refused)
    assert refused.rule == rule
    assert words in refused.reason


def test_a_valuable_customer_gets_an_offer_by_e_mail() -> None:
    moved = advance(enrolled(), Started(), NOON)
    (plan,) = moved.actions
    assert isinstance(plan, Plan)
    assert (plan.channel, plan.template, plan.offer) == ("email", "win-back", "win-back-10")
    assert plan.not_after == NOON + 3 * DAY
    assert (moved.enrolment.step, moved.enrolment.wake_at) == ("watch", NOON + 30 * DAY)


def test_a_very_valuable_one_is_called_by_a_person() -> None:
    moved = advance(enrolled(clv_predicted_12m="1000"), Started(), NOON)
    (plan,) = moved.actions
    assert isinstance(plan, Plan)
    assert plan.channel == "task"
    assert plan.task_due_at == NOON + 2 * DAY
    assert plan.title
    assert "worth 1000.00 GBP" in plan.title


def test_a_timer_that_came_too_early_changes_nothing() -> None:
    waiting = advance(enrolled(), Started(), NOON).enrolment
    assert advance(waiting, Woken(), NOON + DAY) == journey.Advance(waiting)


def test_when_the_delay_is_over_the_journey_ends() -> None:
    waiting = advance(enrolled(), Started(), NOON).enrolment
    over = advance(waiting, Woken(), NOON + 30 * DAY)
    assert over.enrolment.state == "finished"
    assert over.actions == (Leave("30 days have passed"),)
    assert advance(over.enrolment, Woken(), NOON + 60 * DAY).actions == ()


def test_an_order_ends_it_early() -> None:
    waiting = advance(enrolled(), Started(), NOON).enrolment
    over = advance(waiting, Ordered(NOON + DAY), NOON + DAY)
    assert (over.enrolment.state, over.enrolment.left_at) == ("left", NOON + DAY)
    assert over.actions == (Leave("ordered again on 2026-03-03", early=True),)


def test_an_order_from_before_the_entry_does_not() -> None:
    waiting = advance(enrolled(), Started(), NOON).enrolment
    assert advance(waiting, Ordered(NOON - DAY), NOON).enrolment is waiting


@pytest.mark.parametrize(
    ("policy", "days_ago", "state", "enters"),
    [
        ("once", 500, "finished", False),
        ("always", 0, "left", True),
        ("always", 1, "active", False),
        ("after", 59.99, "finished", False),
        ("after", 60, "finished", True),
        ("after", 60, "left", True),
        ("after", 90, "active", False),
    ],
)
def test_re_entry_follows_the_policy_and_never_while_inside(
    policy: str, days_ago: float, state: str, enters: bool
) -> None:
    version = WIN_BACK.model_copy(
        update={"reentry": Reentry(policy=policy, days=60 if policy == "after" else 0)}  # type: ignore[arg-type]
    )
    past = [Past(NOON - days_ago * DAY, state)]  # type: ignore[arg-type]
    answer = journey.admit(version, facts(), past, NOON, rules.judge)
    assert isinstance(answer, Entered) == enters
    if isinstance(answer, Refused):
        assert answer.rule == "reentry"


def test_a_rule_that_cannot_be_evaluated_lets_nobody_in_and_says_so() -> None:
    entry = WIN_BACK.entry
    broken = entry.conditions[0].model_copy(update={"when": "clv_tier > 3"})
    version = WIN_BACK.model_copy(
        update={"entry": entry.model_copy(update={"conditions": (broken,)})}
    )
    refused = journey.admit(version, facts(), [], NOON, rules.judge)
    assert isinstance(refused, Refused)
    assert "could not be evaluated" in refused.reason


def test_an_enrolment_is_never_advanced_by_another_version() -> None:
    with pytest.raises(AssertionError):
        advance(replace(enrolled(), version=2), Started(), NOON)


def changed(**steps: Any) -> dict[str, Any]:
    document: dict[str, Any] = WIN_BACK.model_dump(mode="json")
    document["steps"] |= steps
    return document


@pytest.mark.parametrize(
    "step",
    [
        {"kind": "delay", "hours": 1, "then": "nowhere"},
        {"kind": "delay", "hours": 1, "then": "worth"},
        {"kind": "delay", "hours": 0, "then": "end"},
        {"kind": "dance", "then": "end"},
    ],
)
def test_a_definition_that_leads_nowhere_or_in_a_circle_is_refused(step: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Definition.model_validate(changed(watch=step))


def test_an_expression_over_unknown_facts_is_refused_before_anybody_is_judged() -> None:
    branch = {
        "kind": "branch",
        "cases": [{"when": "wealth > 3", "then": "call"}],
        "otherwise": "end",
    }
    with pytest.raises(ValueError, match="'wealth' is not a known fact"):
        rules.accepted(Definition.model_validate(changed(worth=branch)))
