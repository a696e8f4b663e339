"""Tasks: something for a colleague to do about a customer."""

from dataclasses import replace
from datetime import datetime

from services.campaigns.domain.intervention import Intervention, data_of
from services.campaigns.domain.person import is_erased
from services.campaigns.domain.profile import Profile
from services.campaigns.handlers.changes import Cause, tell
from services.campaigns.handlers.equipment import Tools
from services.campaigns.store import decisions
from services.campaigns.store.decisions import Task
from shared.events.campaigns import InterventionSent, TaskCreated, TaskData, TaskDone
from shared.ids import derived_id
from shared.runtime.db import Transaction


def give(
    tx: Transaction, tools: Tools, one: Intervention, profile: Profile
) -> tuple[Intervention, Task]:
    """Puts the task into somebody's list: with that the intervention is sent."""
    assert one.sent_at is not None
    at = one.sent_at
    task = Task(
        task_id=derived_id(one.intervention_id, "task"),
        customer_id=one.customer_id,
        intervention_id=one.intervention_id,
        assignee=profile.text("account_manager") or tools.default_assignee,
        title=one.title or one.reason,
        reason=one.reason,
        state="open",
        created_at=at,
        due_at=one.task_due_at or at,
    )
    sent = replace(one, state="sent")
    tell(tx, InterventionSent, Cause(one.cause), one.customer_id, at, data_of(sent))
    tell(tx, TaskCreated, Cause(one.cause), one.customer_id, at, _data(task))
    return sent, task


async def finish(tx: Transaction, task_id: str, now: datetime, outcome: str | None) -> Task | None:
    """Marks a task as done, once; None when there is none."""
    task = await decisions.task_for_update(tx.driver, task_id)
    if task is None or task.state == "done":
        return task
    await decisions.finish_task(tx.driver, task_id, now, outcome)
    done = replace(task, state="done", done_at=now, outcome=outcome)
    if not is_erased(task.customer_id):
        tell(tx, TaskDone, Cause(f"task:{task_id}"), task.customer_id, now, _data(done))
    return done


def _data(task: Task) -> TaskData:
    return TaskData(
        task_id=task.task_id,
        intervention_id=task.intervention_id,
        assignee=task.assignee,
        title=task.title,
        due_at=task.due_at,
        outcome=task.outcome,
    )
