"""How a customer goes through a journey: pure, so that a replay takes the same way.

`admit` decides who enters, `advance` what happens next. What is to be done comes back as actions;
the enrolment stays with the version it began with.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal, TypeAlias, assert_never

from services.campaigns.domain.definition import (
    STEPS_MAX,
    BranchStep,
    Definition,
    DelayStep,
    ExitStep,
    MessageStep,
    TaskStep,
)
from services.campaigns.domain.facts import Facts, worded

EnrolmentState = Literal["active", "finished", "left"]


@dataclass(frozen=True, slots=True)
class Judgement:
    """Whether an expression holds; `problem` when it could not be evaluated."""

    holds: bool
    problem: str | None = None


Judge: TypeAlias = Callable[[str, Facts], Judgement]


@dataclass(frozen=True, slots=True)
class Enrolment:
    """One customer's way through one version of a journey."""

    enrolment_id: str
    customer_id: str
    journey: str
    version: int
    state: EnrolmentState
    step: str
    facts: Facts
    reason: str
    cause: str
    entered_at: datetime
    wake_at: datetime | None = None
    left_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Past:
    """An earlier or present enrolment of the person in the same journey."""

    entered_at: datetime
    state: EnrolmentState


@dataclass(frozen=True, slots=True)
class Entered:
    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """Why somebody does not enter: the rule's name, and words."""

    rule: str
    reason: str


@dataclass(frozen=True, slots=True)
class Started:
    """The customer has just entered."""


@dataclass(frozen=True, slots=True)
class Woken:
    """The time of a delay has come."""


@dataclass(frozen=True, slots=True)
class Ordered:
    """The customer bought something at `at`."""

    at: datetime


Happening: TypeAlias = Started | Woken | Ordered


@dataclass(frozen=True, slots=True)
class Plan:
    """Contact the customer (or give a colleague a task) from `due_at`, not after `not_after`."""

    step: str
    channel: str
    reason: str
    due_at: datetime
    not_after: datetime
    needs_approval: bool
    template: str | None = None
    offer: str | None = None
    title: str | None = None
    task_due_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Leave:
    """The journey is over. `early` also calls off what is planned for later than now."""

    reason: str
    early: bool = False


Action: TypeAlias = Plan | Leave


@dataclass(frozen=True, slots=True)
class Advance:
    enrolment: Enrolment
    actions: tuple[Action, ...] = ()


def admit(
    version: Definition, facts: Facts, past: Sequence[Past], now: datetime, judge: Judge
) -> Entered | Refused:
    """Whether a customer with these facts enters now."""
    known = known_facts(version, facts)
    for condition in version.entry.conditions:
        judgement = judge(condition.when, known)
        if not judgement.holds:
            reason = judgement.problem or worded(condition.otherwise, known)
            return Refused(condition.rule, reason)
    refusal = _again(version, past, now)
    return refusal or Entered(worded(version.entry.because, known))


def _again(version: Definition, past: Sequence[Past], now: datetime) -> Refused | None:
    if not past:
        return None
    last = max(past, key=lambda one: one.entered_at)
    if any(one.state == "active" for one in past):
        return Refused("reentry", f"is inside already, since {last.entered_at:%Y-%m-%d}")
    if version.reentry.policy == "once":
        return Refused("reentry", f"was inside on {last.entered_at:%Y-%m-%d}; once is enough")
    days = version.reentry.days
    if version.reentry.policy == "after" and now < last.entered_at + timedelta(days=days):
        return Refused(
            "reentry", f"entered on {last.entered_at:%Y-%m-%d}, less than {days:g} days ago"
        )
    return None


def known_facts(version: Definition, facts: Facts) -> Facts:
    """The facts with the version's own parameters."""
    return {**facts, "parameters": version.parameters}


def advance(
    version: Definition, enrolment: Enrolment, happening: Happening, now: datetime, judge: Judge
) -> Advance:
    """What comes next for an enrolment, and what is to be done.

    A happening that does not concern it (too early, already over) changes nothing.
    """
    assert (version.journey, version.version) == (enrolment.journey, enrolment.version)
    if enrolment.state != "active":
        return Advance(enrolment)
    if isinstance(happening, Started):
        return _walk(version, enrolment, version.start, now, judge)
    if isinstance(happening, Woken):
        step = version.steps[enrolment.step]
        if enrolment.wake_at is None or now < enrolment.wake_at or not isinstance(step, DelayStep):
            return Advance(enrolment)
        return _walk(version, enrolment, step.then, now, judge)
    if "order.completed" not in version.exit_on or happening.at <= enrolment.entered_at:
        return Advance(enrolment)
    reason = f"ordered again on {happening.at:%Y-%m-%d}"
    left = replace(enrolment, state="left", reason=reason, left_at=now, wake_at=None)
    return Advance(left, (Leave(reason, early=True),))


def _walk(
    version: Definition, enrolment: Enrolment, name: str, now: datetime, judge: Judge
) -> Advance:
    """From step to step until one waits or ends."""
    facts = known_facts(version, enrolment.facts)
    actions: list[Action] = []
    for _ in range(STEPS_MAX):
        step = version.steps[name]
        if isinstance(step, DelayStep):
            wake_at = now + timedelta(hours=step.hours)
            return Advance(replace(enrolment, step=name, wake_at=wake_at), tuple(actions))
        if isinstance(step, ExitStep):
            reason = worded(step.because, facts)
            over = replace(
                enrolment, state="finished", step=name, reason=reason, left_at=now, wake_at=None
            )
            return Advance(over, (*actions, Leave(reason)))
        if isinstance(step, BranchStep):
            name = _branch(step, facts, judge)
        else:
            actions.append(_plan(name, step, facts, now))
            name = step.then
    raise AssertionError("a definition without circles ends within its steps")


def _branch(step: BranchStep, facts: Facts, judge: Judge) -> str:
    for case in step.cases:
        if judge(case.when, facts).holds:
            return case.then
    return step.otherwise


def _plan(name: str, step: MessageStep | TaskStep, facts: Facts, now: datetime) -> Plan:
    reason = worded(step.because, facts)
    not_after = now + timedelta(hours=step.stale_after_hours)
    if isinstance(step, MessageStep):
        return Plan(
            step=name,
            channel=step.channel,
            reason=reason,
            due_at=now,
            not_after=not_after,
            needs_approval=step.approval,
            template=step.template,
            offer=step.offer,
        )
    if isinstance(step, TaskStep):
        return Plan(
            step=name,
            channel="task",
            reason=reason,
            due_at=now,
            not_after=not_after,
            needs_approval=step.approval,
            title=worded(step.title, facts),
            task_due_at=now + timedelta(hours=step.due_hours),
        )
    assert_never(step)
