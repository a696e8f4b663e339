"""How an endpoint stands with us: failing, recovered, disabled; and what operators are told."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from services.webhooks.domain.delivery import Done, GiveUp, Outcome, Step, asked_wait

Tell = Literal["failing", "exhausted", "recovered", "disabled"]


@dataclass(frozen=True, slots=True)
class DisableRule:
    """An endpoint is disabled when it failed for this long AND this often, without one success.

    Time alone would punish a quiet endpoint for one bad day, a count alone a busy one for a minute.
    `report_attempts`: the failed attempt of one delivery at which operators hear of it.
    """

    after: timedelta = timedelta(hours=120)
    failures_min: int = 10
    report_attempts: int = 4
    hold_max: timedelta = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Standing:
    """`failures` in a row since `failing_since`; `reported`: operators know of the trouble.

    `held_until`: a throttling receiver asked for silence.
    """

    enabled: bool = True
    failing_since: datetime | None = None
    failures: int = 0
    reported: bool = False
    held_until: datetime | None = None
    disabled_at: datetime | None = None
    disabled_reason: str | None = None


def judge(
    standing: Standing,
    outcome: Outcome,
    step: Step,
    attempts: int,
    now: datetime,
    rule: DisableRule,
) -> tuple[Standing, tuple[Tell, ...]]:
    """The endpoint's standing after an attempt, and what to tell. `attempts` counts this one."""
    if isinstance(step, Done):
        clear = replace(standing, failing_since=None, failures=0, reported=False, held_until=None)
        return clear, (("recovered",) if standing.reported else ())
    tells: list[Tell] = []
    if isinstance(step, GiveUp):
        tells.append("exhausted")
    elif attempts == rule.report_attempts:
        tells.append("failing")
    worse = replace(
        standing,
        failing_since=standing.failing_since or now,
        failures=standing.failures + 1,
        reported=standing.reported or bool(tells),
        held_until=_hold(standing, outcome, now, rule),
    )
    reason = _disabling(worse, step, now, rule)
    if reason is None or not standing.enabled:
        return worse, tuple(tells)
    disabled = replace(worse, enabled=False, disabled_at=now, disabled_reason=reason)
    return disabled, (*tells, "disabled")


def _disabling(standing: Standing, step: Step, now: datetime, rule: DisableRule) -> str | None:
    if isinstance(step, GiveUp) and step.gone:
        return step.reason
    assert standing.failing_since is not None, "a failure was just counted"
    long = now - standing.failing_since
    if long < rule.after or standing.failures < rule.failures_min:
        return None
    return f"failed {standing.failures} times in a row over {long.total_seconds() / 3600:.0f} h"


def _hold(
    standing: Standing, outcome: Outcome, now: datetime, rule: DisableRule
) -> datetime | None:
    asked = asked_wait(outcome, now)
    if asked is None:
        return standing.held_until
    until = now + min(asked, rule.hold_max)
    return max(until, standing.held_until) if standing.held_until else until


def enabled_again(standing: Standing) -> Standing:
    """A fresh start for an endpoint that an operator enables."""
    return Standing() if not standing.enabled else standing


def disabled_by_hand(standing: Standing, now: datetime) -> Standing:
    """An operator switched it off."""
    if not standing.enabled:
        return standing
    return replace(standing, enabled=False, disabled_at=now, disabled_reason="disabled by hand")
