"""The tracking plan: read, put, versions of it, what breaks it, and a draft from what was seen."""

import json
from datetime import datetime
from typing import Annotated, Any, Self

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from services.ingest.domain import observed
from services.ingest.domain import plan as domain
from services.ingest.handlers import plans as handlers
from services.ingest.handlers.receipt import receipt_time
from services.ingest.store import plan_counts, plans
from services.ingest.store.plans import PlanRow
from shared.events.envelope import Line
from shared.runtime.http import (
    Body,
    CanAdmin,
    CanRead,
    Ctx,
    Cursor,
    Limit,
    Page,
    Problem,
    ProblemDetails,
    decode_cursor,
    encode_cursor,
)

router = APIRouter(prefix="/tracking-plan", tags=["tracking plan"])
_VERSION_MAX = 2**31 - 1
VersionInPath = Annotated[int, Path(ge=1, le=_VERSION_MAX)]
TypeName = Annotated[
    str | None, Query(alias="type", max_length=200, pattern=r"^[^\x00]*$", description="only this")
]
_PROBLEMS: dict[int, dict[int | str, dict[str, Any]]] = {
    code: {code: {"model": ProblemDetails}} for code in (404, 409, 413, 422)
}
_EXAMPLE = {
    "unplanned": "warn",
    "types": {
        "custom.gift_wrapped": {
            "mode": "reject",
            "schema": {
                "type": "object",
                "properties": {"paper": {"enum": ["red", "gold"]}},
                "required": ["paper"],
                "additionalProperties": False,
            },
        }
    },
}
Document = Annotated[
    dict[str, Any],
    Field(
        description='`{"unplanned"?, "types": {type: {"mode", "schema"}}}`. A mode is `allow` '
        "(nothing is checked), `warn` (violations are counted) or `reject` (they are refused at "
        "the door). A schema describes the `data` of an event, in a subset of JSON Schema 2020-12.",
        examples=[_EXAMPLE],
    ),
]


class PlanRequest(Body):
    """A new version. `base_version` (0: there is none) guards against overwriting another's."""

    plan: Document
    note: Line | None = None
    base_version: Annotated[int | None, Field(ge=0, le=_VERSION_MAX)] = None


class VersionView(BaseModel):
    """A version of the plan, without the plan."""

    version: int
    active: bool
    note: str | None
    created_at: datetime
    created_by: str

    @classmethod
    def of(cls, row: PlanRow) -> Self:
        return cls.model_validate(row, from_attributes=True)


class PlanView(VersionView):
    """A version of the plan."""

    plan: dict[str, Any]

    @classmethod
    def of(cls, row: PlanRow) -> Self:
        return cls(plan=row.document, **VersionView.of(row).model_dump())


class ViolationView(BaseModel):
    """How often a rule was broken: by events that were admitted (`warned`) and refused
    (`rejected`), with the newest examples. `field` has `*` for members of lists and for names that
    the plan does not know."""

    type: str
    field: str
    rule: str
    warned: int
    rejected: int
    event_ids: list[str]
    rejection_ids: list[str]
    first_seen_at: datetime
    last_seen_at: datetime


class ObservedType(BaseModel):
    """How many events of a type the draft was made from."""

    type: str
    events: int


class DraftView(BaseModel):
    """A plan that everything seen obeys, and how much that was. Only a sample is looked at."""

    plan: dict[str, Any]
    observed: list[ObservedType]


@router.get("", responses=_PROBLEMS[404])
async def get_plan(context: Ctx, _: CanRead) -> PlanView:
    """The active version; 404 before there is one."""
    async with context.read() as session:
        return _view(await plans.active(session.driver))


@router.put("", responses=_PROBLEMS[409] | _PROBLEMS[413] | _PROBLEMS[422])
async def put_plan(context: Ctx, caller: CanAdmin, wanted: PlanRequest) -> PlanView:
    """Makes a new version the active one. Every process applies it within
    `INGEST_PLAN_REFRESH_SECONDS`. A plan without types asks nothing."""
    _check(wanted.plan, context.settings.plan_bytes_max)
    async with context.transaction() as tx:
        row = await handlers.put(
            tx,
            wanted.plan,
            note=wanted.note,
            by=caller.key_id,
            base_version=wanted.base_version,
            now=receipt_time(context.clock),
        )
    if row is None:
        raise Problem(409, "another version is active by now; nothing was changed")
    await handlers.refresh(context.database, context.resources.in_force)
    return PlanView.of(row)


@router.get("/versions", responses=_PROBLEMS[422])
async def list_versions(
    context: Ctx, _: CanRead, limit: Limit = 50, cursor: Cursor = None
) -> Page[VersionView]:
    """All versions, newest first."""
    before = _version(cursor) if cursor else None
    async with context.read() as session:
        found = await plans.page(session.driver, before, limit + 1)
    last = found[limit - 1] if len(found) > limit else None
    return Page(
        items=[VersionView.of(row) for row in found[:limit]],
        next_cursor=encode_cursor(last.version) if last else None,
    )


@router.get("/versions/{version}", responses=_PROBLEMS[404])
async def get_version(context: Ctx, _: CanRead, version: VersionInPath) -> PlanView:
    """One version."""
    async with context.read() as session:
        return _view(await plans.find(session.driver, version))


@router.post("/versions/{version}/activate", responses=_PROBLEMS[404])
async def activate_version(context: Ctx, _: CanAdmin, version: VersionInPath) -> PlanView:
    """Makes an older version the active one again."""
    async with context.transaction() as tx:
        row = await handlers.activate(tx, version)
    await handlers.refresh(context.database, context.resources.in_force)
    return _view(row)


@router.get("/violations", responses=_PROBLEMS[422])
async def list_violations(
    context: Ctx, _: CanRead, kind: TypeName = None, limit: Limit = 50, cursor: Cursor = None
) -> Page[ViolationView]:
    """What breaks the plan, or broke an earlier version of it, by type, field and rule."""
    after = _names(cursor) if cursor else None
    async with context.read() as session:
        found = await plan_counts.page(session.driver, kind, after=after, rows_max=limit + 1)
    last = found[limit - 1] if len(found) > limit else None
    return Page(
        items=[
            ViolationView(
                type=one.event_type,
                field=one.field,
                rule=one.rule,
                warned=one.warned,
                rejected=one.rejected,
                event_ids=one.event_ids,
                rejection_ids=one.rejection_ids,
                first_seen_at=one.first_seen_at,
                last_seen_at=one.last_seen_at,
            )
            for one in found[:limit]
        ],
        next_cursor=encode_cursor(last.event_type, last.field, last.rule) if last else None,
    )


@router.get("/draft")
async def draft_plan(context: Ctx, _: CanRead, kind: TypeName = None) -> DraftView:
    """A draft from what events looked like: names, kinds and presence of fields, no values."""
    async with context.read() as session:
        seen = await plan_counts.observed(session.driver, kind)
    events: dict[str, int] = {}
    for look, times in seen.items():
        if not look.field:
            events[look.event_type] = events.get(look.event_type, 0) + times
    return DraftView(
        plan=observed.draft(seen),
        observed=[ObservedType(type=name, events=times) for name, times in events.items()],
    )


def _check(document: dict[str, Any], bytes_max: int) -> None:
    errors = domain.complaints(document)
    if errors:
        raise Problem(422, "the tracking plan is not valid", errors=errors)
    if len(json.dumps(document, separators=(",", ":"))) > bytes_max:
        raise Problem(413, f"a tracking plan has at most {bytes_max} bytes as JSON")


def _view(row: PlanRow | None) -> PlanView:
    if row is None:
        raise Problem(404, "there is no such version of the tracking plan")
    return PlanView.of(row)


def _version(cursor: str) -> int:
    (version,) = decode_cursor(cursor, 1)
    if type(version) is not int or not 0 <= version <= _VERSION_MAX:
        raise Problem(422, "the cursor is not one of ours")
    return version


def _names(cursor: str) -> tuple[str, str, str]:
    first, second, third = (_name(one) for one in decode_cursor(cursor, 3))
    return first, second, third


def _name(one: Any) -> str:
    try:
        if isinstance(one, str) and b"\x00" not in one.encode():
            return one
    except UnicodeEncodeError:
        one = None
    raise Problem(422, "the cursor is not one of ours")
