"""What a journey is: data, validated as a whole, never changed once it is a version.

Expressions are CEL over the facts of `facts.py`; texts may name facts as `$fact`.
"""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

from services.campaigns.domain.policy import Channel
from shared.events.envelope import Line, Name

STEPS_MAX = 200
Expression = Annotated[str, Field(min_length=1, max_length=2_000)]
Hours = Annotated[float, Field(gt=0, le=24 * 366)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Condition(_Part):
    """A customer enters only when `when` holds; `otherwise` says in words why not."""

    rule: Name
    when: Expression
    otherwise: Line


class Entry(_Part):
    """What lets a customer in: an event of this type for which all conditions hold."""

    on: Literal["threshold.crossed"]
    conditions: Annotated[tuple[Condition, ...], Field(max_length=50)]
    because: Line


class Reentry(_Part):
    """`after`: again when `days` have passed since the last entry. Never while still inside."""

    policy: Literal["once", "always", "after"]
    days: Annotated[float, Field(ge=0, le=3_660)] = 0


class Case(_Part):
    when: Expression
    then: Name


class BranchStep(_Part):
    """The first case that holds says where to go on."""

    kind: Literal["branch"]
    cases: Annotated[tuple[Case, ...], Field(min_length=1, max_length=20)]
    otherwise: Name


class DelayStep(_Part):
    kind: Literal["delay"]
    hours: Hours
    then: Name


class MessageStep(_Part):
    """A message; with `approval` it waits for a person. Useless after `stale_after_hours`."""

    kind: Literal["message"]
    channel: Channel
    template: Name
    offer: Name | None = None
    stale_after_hours: Hours = 72
    approval: bool = False
    because: Line
    then: Name


class TaskStep(_Part):
    """Something for a person to do, due after `due_hours`."""

    kind: Literal["task"]
    title: Line
    due_hours: Hours = 48
    stale_after_hours: Hours = 24 * 14
    approval: bool = False
    because: Line
    then: Name


class ExitStep(_Part):
    kind: Literal["exit"]
    because: Line


Step: TypeAlias = BranchStep | DelayStep | MessageStep | TaskStep | ExitStep


class Definition(_Part):
    """One version of a journey. `exit_on` ends it early; `conversion_days` is what counts after."""

    journey: Name
    version: Annotated[int, Field(ge=1)]
    title: Line
    purpose: Name
    parameters: dict[str, float] = Field(default_factory=dict)
    entry: Entry
    reentry: Reentry
    exit_on: tuple[Literal["order.completed"], ...] = ()
    conversion_days: Annotated[float, Field(gt=0, le=366)] = 14
    start: Name
    steps: Annotated[
        dict[Name, Annotated[Step, Field(discriminator="kind")]],
        Field(min_length=1, max_length=STEPS_MAX),
    ]

    @model_validator(mode="after")
    def _leads_to_an_end(self) -> Self:
        for name, targets in self._edges().items():
            missing = [target for target in targets if target not in self.steps]
            if missing:
                raise ValueError(f"step {name!r} leads to {missing[0]!r}, which does not exist")
        if self.start not in self.steps:
            raise ValueError(f"the start {self.start!r} does not exist")
        if _has_circle(self._edges()):
            raise ValueError("steps lead in a circle; re-entry is the way to begin again")
        return self

    def _edges(self) -> dict[str, tuple[str, ...]]:
        return {name: targets_of(step) for name, step in self.steps.items()}

    def expressions(self) -> Iterator[str]:
        """Every expression in it, to be compiled before the version is accepted."""
        for condition in self.entry.conditions:
            yield condition.when
        for step in self.steps.values():
            if isinstance(step, BranchStep):
                yield from (case.when for case in step.cases)

    @property
    def conversion_window(self) -> timedelta:
        return timedelta(days=self.conversion_days)


def targets_of(step: Step) -> tuple[str, ...]:
    """The steps that may follow."""
    if isinstance(step, BranchStep):
        return (*(case.then for case in step.cases), step.otherwise)
    return () if isinstance(step, ExitStep) else (step.then,)


def _has_circle(edges: Mapping[str, tuple[str, ...]]) -> bool:
    """Whether steps can be taken away, those without a successor first, until none is left."""
    left = {name: set(targets) for name, targets in edges.items()}
    while left:
        ends = {name for name, targets in left.items() if not targets & left.keys()}
        if not ends:
            return True
        left = {name: targets for name, targets in left.items() if name not in ends}
    return False
