"""API keys, for administrators. A key is shown once, when it is made or rotated."""

from datetime import datetime, timedelta
from typing import Annotated, Self

from fastapi import APIRouter, Path, Response
from pydantic import BaseModel, Field, model_validator

from services.ingest.api.cursors import instant_and_id
from services.ingest.handlers import keys as handlers
from services.ingest.handlers.keys import NewKey
from services.ingest.handlers.receipt import receipt_time
from services.ingest.store import keys
from services.ingest.store.keys import KeyRow
from shared.events.envelope import Instant, Name
from shared.events.keys import Scope
from shared.runtime.http import (
    Body,
    CanAdmin,
    Ctx,
    Cursor,
    Limit,
    Page,
    Problem,
    ProblemDetails,
    encode_cursor,
)

router = APIRouter(prefix="/keys", tags=["keys"])
KeyIdInPath = Annotated[str, Path(pattern="^[0-9a-zA-Z-]{1,64}$")]
_GRACE_SECONDS_MAX = 30 * 24 * 3_600


class KeyRequest(Body):
    """What a new key may do. What is posted with a `test` key is judged, recorded and shown at
    `/v1/test`, and goes nowhere: for the tests of a shop's code. Its scope is `ingest` alone.
    """

    scopes: Annotated[list[Scope], Field(min_length=1, max_length=4)]
    label: Name
    expires_at: Instant | None = None
    test: bool = False

    @model_validator(mode="after")
    def _only_posts(self) -> Self:
        if self.test and self.scopes != ["ingest"]:
            raise ValueError("a test key has the scope ingest and no other")
        return self


class RotateRequest(Body):
    """How long the old secret stays good."""

    grace_seconds: Annotated[int, Field(ge=0, le=_GRACE_SECONDS_MAX)] = 3_600


class KeyView(BaseModel):
    """A key without its secret."""

    id: str
    label: str
    scopes: list[Scope]
    created_at: datetime
    rotated_at: datetime | None
    previous_expires_at: datetime | None
    expires_at: datetime | None
    revoked_at: datetime | None
    test: bool

    @classmethod
    def of(cls, row: KeyRow) -> Self:
        return cls.model_validate(row, from_attributes=True)


class KeyOnce(KeyView):
    """A key with its secret, which is not kept anywhere."""

    key: str

    @classmethod
    def of_new(cls, new: NewKey) -> Self:
        return cls(key=new.key, **KeyView.of(new.row).model_dump())


@router.get("")
async def list_keys(
    context: Ctx, _: CanAdmin, limit: Limit = 50, cursor: Cursor = None
) -> Page[KeyView]:
    """All keys ever made, oldest first."""
    async with context.read() as session:
        found = await keys.page(
            session.driver, after=instant_and_id(cursor) if cursor else None, rows_max=limit + 1
        )
    last = found[limit - 1] if len(found) > limit else None
    return Page(
        items=[KeyView.of(row) for row in found[:limit]],
        next_cursor=encode_cursor(last.created_at.isoformat(), last.id) if last else None,
    )


@router.post("", status_code=201)
async def make_key(context: Ctx, _: CanAdmin, wanted: KeyRequest) -> KeyOnce:
    """A new key. Services know it within a second."""
    async with context.transaction() as tx:
        new = await handlers.create_key(
            tx,
            wanted.scopes,
            wanted.label,
            now=receipt_time(context.clock),
            expires_at=wanted.expires_at,
            test=wanted.test,
        )
    return KeyOnce.of_new(new)


@router.post("/{key_id}/rotate")
async def rotate_key(
    context: Ctx, _: CanAdmin, key_id: KeyIdInPath, wanted: RotateRequest | None = None
) -> KeyOnce:
    """A new secret for the same key; the old one stays good for the grace period."""
    grace = timedelta(seconds=(wanted or RotateRequest()).grace_seconds)
    async with context.transaction() as tx:
        new = await handlers.rotate_key(tx, key_id, grace, now=receipt_time(context.clock))
    if new is None:
        raise Problem(404, "there is no such key, or it has ended")
    return KeyOnce.of_new(new)


@router.delete(
    "/{key_id}",
    status_code=204,
    responses={409: {"model": ProblemDetails, "description": "the last key of an administrator"}},
)
async def revoke_key(context: Ctx, _: CanAdmin, key_id: KeyIdInPath) -> Response:
    """Ends a key at once; repeating it is harmless."""
    async with context.transaction() as tx:
        done = await handlers.revoke_key(tx, key_id, now=receipt_time(context.clock))
    if done == "missing":
        raise Problem(404, "there is no such key")
    if done == "last":
        raise Problem(409, "without this key nobody could make another; make one first")
    return Response(status_code=204)
