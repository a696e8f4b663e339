"""Interventions, and the tasks that some of them are."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel

from services.campaigns.api.paging import NEWEST, OLDEST, position
from services.campaigns.domain.intervention import Intervention, InterventionState
from services.campaigns.handlers import interventions as deciding
from services.campaigns.handlers import tasks
from services.campaigns.store import decisions, interventions, people
from services.campaigns.store.decisions import Task, TaskState
from shared.events.envelope import Name
from shared.runtime.http import (
    Body,
    CanOperate,
    CanRead,
    Ctx,
    Cursor,
    Limit,
    Page,
    Problem,
    encode_cursor,
)
from shared.runtime.service import Context

router = APIRouter(tags=["interventions"])
IdPath = Annotated[str, Path(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]
Word = Annotated[str | None, Query(max_length=200, pattern=r"^[^\x00]*$")]


class InterventionOut(BaseModel):
    """What is planned for a customer, and what became of it. `rule` names what decided last."""

    intervention_id: str
    customer_id: str
    journey: str
    journey_version: int
    enrolment_id: str
    step: str
    channel: str
    purpose: str
    state: InterventionState
    rule: str | None
    reason: str
    template: str | None
    offer: str | None
    planned_at: datetime
    due_at: datetime
    not_after: datetime
    sent_at: datetime | None
    message_id: str | None
    attempts: int
    converted_at: datetime | None
    value: Decimal | None
    currency: str | None


class TaskOut(BaseModel):
    task_id: str
    customer_id: str
    intervention_id: str
    assignee: str
    title: str
    reason: str
    state: TaskState
    created_at: datetime
    due_at: datetime
    done_at: datetime | None
    outcome: str | None


class DoneIn(Body):
    """What came of it, in a word: `reached`, `no answer`, …"""

    outcome: Name | None = None


@router.get("/interventions")
async def list_interventions(
    context: Ctx,
    _: CanRead,
    state: InterventionState | None = None,
    journey: Word = None,
    customer_id: Word = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[InterventionOut]:
    """The newest first."""
    before, _rank, name = position(cursor, NEWEST)
    ids = await _ids(context, customer_id)
    async with context.read() as session:
        found = await interventions.listed(
            session.driver,
            (before, name),
            state=state,
            journey=journey,
            ids=ids,
            limit=limit + 1,
        )
    page = found[:limit]
    last = page[-1] if len(found) > limit else None
    return Page[InterventionOut](
        items=[_out(one) for one in page],
        next_cursor=(
            encode_cursor(last.planned_at.isoformat(), 0, last.intervention_id) if last else None
        ),
    )


@router.get("/interventions/{intervention_id}")
async def get_intervention(intervention_id: IdPath, context: Ctx, _: CanRead) -> InterventionOut:
    async with context.read() as session:
        found = await interventions.by_id(session.driver, [intervention_id])
    if intervention_id not in found:
        raise Problem(404, "there is no such intervention")
    return _out(found[intervention_id])


@router.post("/interventions/{intervention_id}/approve")
async def approve(intervention_id: IdPath, context: Ctx, _: CanOperate) -> InterventionOut:
    """Lets one that waits for a person go on; the gate still has the last word."""
    async with context.transaction() as tx:
        answer = await deciding.approve(tx, intervention_id, context.clock.now())
    return _answer(answer)


@router.post("/interventions/{intervention_id}/dismiss")
async def dismiss(intervention_id: IdPath, context: Ctx, _: CanOperate) -> InterventionOut:
    """Calls off what has not left yet."""
    async with context.transaction() as tx:
        answer = await deciding.dismiss(tx, intervention_id, context.clock.now())
    return _answer(answer)


@router.get("/tasks")
async def list_tasks(
    context: Ctx,
    _: CanRead,
    state: TaskState | None = None,
    assignee: Word = None,
    customer_id: Word = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[TaskOut]:
    """The most urgent first."""
    after, _rank, name = position(cursor, OLDEST)
    ids = await _ids(context, customer_id)
    async with context.read() as session:
        found = await decisions.tasks(
            session.driver,
            (after, name),
            state=state,
            assignee=assignee,
            ids=ids,
            limit=limit + 1,
        )
    page = found[:limit]
    last = page[-1] if len(found) > limit else None
    return Page[TaskOut](
        items=[_task(one) for one in page],
        next_cursor=encode_cursor(last.due_at.isoformat(), 0, last.task_id) if last else None,
    )


@router.post("/tasks/{task_id}/done")
async def finish_task(task_id: IdPath, body: DoneIn, context: Ctx, _: CanOperate) -> TaskOut:
    """Marks a task as done; doing so again changes nothing."""
    async with context.transaction() as tx:
        task = await tasks.finish(tx, task_id, context.clock.now(), body.outcome)
    if task is None:
        raise Problem(404, "there is no such task")
    return _task(task)


async def _ids(context: Context, customer: str | None) -> tuple[str, ...] | None:
    """All ids of the person, or None when nobody was named."""
    if customer is None:
        return None
    async with context.read() as session:
        return (await people.find(session.driver, [customer]))[customer].ids


def _answer(answer: Intervention | deciding.TooLate | None) -> InterventionOut:
    if answer is None:
        raise Problem(404, "there is no such intervention")
    if isinstance(answer, deciding.TooLate):
        raise Problem(409, f"it is {answer.state} already", state=answer.state)
    return _out(answer)


def _out(one: Intervention) -> InterventionOut:
    given = {
        name: getattr(one, name)
        for name in InterventionOut.model_fields
        if name != "journey_version"
    }
    return InterventionOut(journey_version=one.version, **given)


def _task(one: Task) -> TaskOut:
    return TaskOut(**{name: getattr(one, name) for name in TaskOut.model_fields})
