"""Decisions and tasks: why somebody was or was not contacted, and what colleagues have to do."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from services.campaigns.domain.decision import Decision
from services.campaigns.store.rows import Driver, as_json, value_of

_SAVE = """
INSERT INTO decisions (customer_id, decided_at, decision_id, stage, outcome, rule, reason, journey,
    version, cause, step, channel, enrolment_id, intervention_id, until, rank)
SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::text[], $4::text[], $5::text[], $6::text[],
    $7::text[], $8::text[], $9::int[], $10::text[], $11::text[], $12::text[], $13::text[],
    $14::text[], $15::timestamptz[], $16::smallint[])
ON CONFLICT DO NOTHING
"""
_COLUMNS = (
    "customer_id",
    "decided_at",
    "decision_id",
    "stage",
    "outcome",
    "rule",
    "reason",
    "journey",
    "version",
    "cause",
    "step",
    "channel",
    "enrolment_id",
    "intervention_id",
    "until",
    "rank",
)
_LIST = """
SELECT * FROM decisions
WHERE customer_id = ANY($1::text[]) AND (decided_at, rank, decision_id) < ($2, $3, $4)
ORDER BY decided_at DESC, rank DESC, decision_id DESC LIMIT $5
"""
_SAVE_TASKS = """
INSERT INTO tasks SELECT * FROM jsonb_populate_recordset(null::tasks, $1::jsonb)
ON CONFLICT DO NOTHING
"""
_TASKS = """
SELECT * FROM tasks
WHERE (due_at, task_id) > ($1, $2) AND ($3::text IS NULL OR state = $3)
  AND ($4::text IS NULL OR assignee = $4) AND ($5::text[] IS NULL OR customer_id = ANY($5))
ORDER BY due_at, task_id LIMIT $6
"""
_TASK_FOR_UPDATE = "SELECT * FROM tasks WHERE task_id = $1 FOR UPDATE"
_DONE = "UPDATE tasks SET state = 'done', done_at = $2, outcome = $3 WHERE task_id = $1"

TaskState = Literal["open", "done"]


@dataclass(frozen=True, slots=True)
class Task:
    """Something for a person to do about a customer."""

    task_id: str
    customer_id: str
    intervention_id: str
    assignee: str
    title: str
    reason: str
    state: TaskState
    created_at: datetime
    due_at: datetime
    done_at: datetime | None = None
    outcome: str | None = None


async def save(driver: Driver, decisions: Sequence[Decision]) -> None:
    """Adds rows; the same decision is there once."""
    if decisions:
        columns = [[getattr(one, name) for one in decisions] for name in _COLUMNS]
        await driver.execute(_SAVE, *columns)


async def listed(
    driver: Driver, ids: Collection[str], before: tuple[datetime, int, str], limit: int
) -> list[Decision]:
    """The newest first, before a position."""
    return [value_of(Decision, row) for row in await driver.fetch(_LIST, list(ids), *before, limit)]


async def save_tasks(driver: Driver, tasks: Sequence[Task]) -> None:
    if tasks:
        await driver.execute(_SAVE_TASKS, as_json(tasks))


async def tasks(
    driver: Driver,
    after: tuple[datetime, str],
    *,
    state: str | None,
    assignee: str | None,
    ids: Collection[str] | None,
    limit: int,
) -> list[Task]:
    """The most urgent first, after a position."""
    rows = await driver.fetch(
        _TASKS, *after, state, assignee, list(ids) if ids is not None else None, limit
    )
    return [value_of(Task, row) for row in rows]


async def task_for_update(driver: Driver, task_id: str) -> Task | None:
    row = await driver.fetchrow(_TASK_FOR_UPDATE, task_id)
    return None if row is None else value_of(Task, row)


async def finish_task(driver: Driver, task_id: str, now: datetime, outcome: str | None) -> None:
    await driver.execute(_DONE, task_id, now, outcome)
