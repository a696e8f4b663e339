"""What follows an attempt: the schedule, Retry-After, giving up; and the endpoint's standing."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.webhooks.domain.delivery import (
    SCHEDULE,
    WAITS_SECONDS,
    Done,
    GiveUp,
    Outcome,
    Retry,
    failure_of,
    jitter_of,
    next_step,
)
from services.webhooks.domain.pace import Pace
from services.webhooks.domain.standing import (
    DisableRule,
    Standing,
    disabled_by_hand,
    enabled_again,
    judge,
)
from shared.testing.builders import NOON

MIDDLE = 0.5


def answered(status: int, retry_after: str | None = None) -> Outcome:
    return Outcome(status, failure_of(status), 12, retry_after=retry_after)


TIMEOUT = Outcome(None, "timeout", 15_000)
# Dates as a hostile receiver may write them: every number as large as it likes.
DATES = st.builds(
    "Mon, {} Mar {} {}:{}:00 {}{}".format,
    *[st.integers(0, 10**20)] * 4,
    st.sampled_from(("+", "-", "")),
    st.one_of(st.integers(0, 10**20), st.just("GMT")),
)


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_only_2xx_is_success(status: int) -> None:
    assert next_step(1, answered(status), NOON, MIDDLE) == Done()


@pytest.mark.parametrize("status", [100, 301, 302, 307, 400, 401, 404, 429, 500, 503])
def test_anything_else_is_tried_again(status: int) -> None:
    assert isinstance(next_step(1, answered(status), NOON, MIDDLE), Retry)


def test_the_schedule_is_the_specification_s_and_ends() -> None:
    waits = []
    now = NOON
    for attempt in range(1, 10):
        step = next_step(attempt, TIMEOUT, now, MIDDLE)
        assert isinstance(step, Retry)
        waits.append(int((step.at - now).total_seconds()))
        now = step.at
    assert waits == list(WAITS_SECONDS)
    assert now - NOON == timedelta(hours=75, minutes=35, seconds=5)
    assert next_step(10, TIMEOUT, now, MIDDLE) == GiveUp("failed 10 times, last: timeout")


@given(
    attempt=st.integers(1, 9),
    jitter=st.floats(0, 1, exclude_max=True),
    retry_after=st.one_of(st.none(), st.text(max_size=20), st.integers(0, 10**12).map(str), DATES),
)
def test_a_retry_is_never_early_nor_beyond_the_remaining_schedule(
    attempt: int, jitter: float, retry_after: str | None
) -> None:
    step = next_step(attempt, answered(429, retry_after), NOON, jitter)
    assert isinstance(step, Retry)
    wait = (step.at - NOON).total_seconds()
    scheduled = WAITS_SECONDS[attempt - 1]
    assert wait >= scheduled * 0.8 - 1e-3
    assert wait <= max(scheduled * 1.2, min(86_400, sum(WAITS_SECONDS[attempt - 1 :]))) + 1e-3


@pytest.mark.parametrize("status", [429, 502, 503, 504])
@pytest.mark.parametrize("retry_after", ["120", "Mon, 02 Mar 2026 12:02:00 GMT"])
def test_retry_after_in_seconds_or_as_a_date_is_honoured(status: int, retry_after: str) -> None:
    step = next_step(1, answered(status, retry_after), NOON, MIDDLE)
    assert step == Retry(NOON + timedelta(seconds=120))


IMPOSSIBLE_DATES = (
    "Mon, 02 Mar 99999999999 12:00:00 GMT",
    "Mon, 02 Mar 2026 12:00:00 +99999999999999999",
)


@pytest.mark.parametrize(
    "retry_after",
    ["1", "-5", "soon", "", "Sun, 01 Mar 2026 12:00:00 GMT", *IMPOSSIBLE_DATES],
)
def test_retry_after_never_hastens(retry_after: str) -> None:
    step = next_step(1, answered(429, retry_after), NOON, MIDDLE)
    assert step == Retry(NOON + timedelta(seconds=5))


def test_retry_after_is_clamped_to_a_day() -> None:
    step = next_step(1, answered(429, "999999999999"), NOON, MIDDLE)
    assert step == Retry(NOON + timedelta(hours=24))


def test_retry_after_of_an_ordinary_error_is_ignored() -> None:
    assert next_step(1, answered(500, "3600"), NOON, MIDDLE) == Retry(NOON + timedelta(seconds=5))


def test_gone_ends_at_once() -> None:
    step = next_step(1, answered(410), NOON, MIDDLE)
    assert isinstance(step, GiveUp)
    assert step.gone


@given(st.text(), st.integers(1, 100))
def test_jitter_is_a_chance_that_repeats(delivery: str, attempt: int) -> None:
    assert 0 <= jitter_of(delivery, attempt) < 1
    assert jitter_of(delivery, attempt) == jitter_of(delivery, attempt)


def test_jitter_spreads() -> None:
    chances = [jitter_of(f"dlv_{number}", 1) for number in range(1_000)]
    assert 0.45 < sum(chances) / len(chances) < 0.55
    assert min(chances) < 0.02
    assert max(chances) > 0.98


RULE = DisableRule(after=timedelta(hours=120), failures_min=3, report_attempts=4)


def judged(standing: Standing, outcome: Outcome, attempts: int, hours: float = 0):  # type: ignore[no-untyped-def]
    now = NOON + timedelta(hours=hours)
    step = next_step(attempts, outcome, now, MIDDLE, SCHEDULE)
    return judge(standing, outcome, step, attempts, now, RULE)


def test_operators_hear_of_the_fourth_failure_and_of_the_recovery() -> None:
    standing = Standing()
    tells = []
    for attempt in range(1, 6):
        standing, told = judged(standing, TIMEOUT, attempt)
        tells.append(told)
    assert tells == [(), (), (), ("failing",), ()]
    standing, told = judged(standing, answered(200), 6)
    assert told == ("recovered",)
    assert standing == Standing()
    assert judged(standing, answered(200), 1) == (Standing(), ())


def test_the_last_failure_is_told_as_exhausted() -> None:
    _, told = judged(Standing(), TIMEOUT, 10)
    assert told == ("exhausted",)


def test_gone_disables_at_once() -> None:
    standing, told = judged(Standing(), answered(410), 1)
    assert told == ("exhausted", "disabled")
    assert not standing.enabled
    assert standing.disabled_at == NOON


def test_an_endpoint_is_disabled_by_time_and_count_together_only() -> None:
    often = Standing(failing_since=NOON, failures=50)
    long = Standing(failing_since=NOON, failures=1)
    both = Standing(failing_since=NOON, failures=2)
    assert judged(often, TIMEOUT, 1, hours=119)[0].enabled
    assert judged(long, TIMEOUT, 1, hours=121)[0].enabled
    disabled, told = judged(both, TIMEOUT, 1, hours=121)
    assert not disabled.enabled
    assert told == ("disabled",)


def test_what_is_disabled_is_not_disabled_again() -> None:
    disabled = disabled_by_hand(Standing(), NOON)
    standing, told = judged(disabled, answered(410), 1, hours=1)
    assert told == ("exhausted",)
    assert standing.disabled_at == NOON
    assert enabled_again(standing) == Standing()


def test_a_throttling_receiver_is_left_in_peace_for_an_hour_at_most() -> None:
    standing, _ = judged(Standing(), answered(429, "60"), 1)
    assert standing.held_until == NOON + timedelta(seconds=60)
    standing, _ = judged(Standing(), answered(429, "86400"), 1)
    assert standing.held_until == NOON + timedelta(hours=1)
    standing, _ = judged(standing, answered(200), 1)
    assert standing.held_until is None


def test_a_pace_lets_a_second_s_worth_go_and_then_that_many_a_second() -> None:
    pace = Pace(5)
    assert pace.allowance(NOON) == 5
    spent = pace.after(5, NOON)
    assert spent.allowance(NOON) == 0
    assert spent.allowance(NOON + timedelta(seconds=0.4)) == 2
    assert spent.allowance(NOON + timedelta(days=1)) == 5


@settings(deadline=None)
@given(st.integers(1, 20), st.lists(st.floats(0, 2), max_size=30))
def test_no_second_sees_more_than_twice_the_pace(per_second: int, gaps: list[float]) -> None:
    pace, now, sent = Pace(per_second), NOON, []
    for gap in gaps:
        now += timedelta(seconds=gap)
        calls = pace.allowance(now)
        pace = pace.after(calls, now)
        sent += [now] * calls
    for start in sent:
        within = [one for one in sent if start <= one < start + timedelta(seconds=1)]
        assert len(within) <= 2 * per_second
