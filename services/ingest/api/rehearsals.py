"""What a test key posted, for the tests of a shop's own code: all, the good, the bad."""

from datetime import datetime
from typing import Any, Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel

from services.ingest.api.rejections import as_json
from services.ingest.store import rehearsals
from services.ingest.store.rehearsals import Rehearsal
from shared.runtime.auth import Caller
from shared.runtime.http import (
    CanIngestOrTest,
    Ctx,
    Cursor,
    Limit,
    Page,
    Problem,
    ProblemDetails,
    decode_cursor,
    encode_cursor,
)

router = APIRouter(
    prefix="/test",
    tags=["test"],
    responses={409: {"model": ProblemDetails, "description": "not a test key"}},
)
Which = Literal["all", "good", "bad"]
_GOOD: dict[Which, bool | None] = {"all": None, "good": True, "bad": False}
_SERIAL_MAX = 2**63 - 1


class RehearsalView(BaseModel):
    """One event: `good` ones would have been taken, as `event` shows them; of the others it is what
    was sent. Either is a text where it was cut."""

    good: bool
    index: int
    id: str | None
    type: str | None
    errors: list[dict[str, str]]
    event: Any
    received_at: datetime

    @classmethod
    def of(cls, one: Rehearsal) -> "RehearsalView":
        return cls(
            good=one.good,
            index=one.event_index,
            id=one.event_id,
            type=one.event_type,
            errors=list(one.errors),
            event=as_json(one.body),
            received_at=one.received_at,
        )


class Counts(BaseModel):
    """How many events of a key are kept."""

    good: int
    bad: int


class RehearsalPage(Page[RehearsalView]):
    """A page, and how many there are in all."""

    counts: Counts


@router.get("/{which}", summary="What was posted with this test key")
async def list_rehearsals(
    context: Ctx, caller: CanIngestOrTest, which: Which, limit: Limit = 50, cursor: Cursor = None
) -> RehearsalPage:
    """In the order of its coming; only the last `INGEST_REHEARSALS_PER_KEY_MAX` are kept. A page
    ends early after `INGEST_REHEARSALS_PAGE_BYTES_MAX`."""
    key_id = _test_key(caller)
    async with context.read() as session:
        found, more = await rehearsals.page(
            session.driver,
            key_id,
            good=_GOOD[which],
            after=_serial(cursor) if cursor else 0,
            rows_max=limit,
            bytes_max=context.settings.rehearsals_page_bytes_max,
        )
        good, bad = await rehearsals.count(session.driver, key_id)
    return RehearsalPage(
        items=[RehearsalView.of(one) for one in found],
        next_cursor=encode_cursor(found[-1].serial) if more else None,
        counts=Counts(good=good, bad=bad),
    )


@router.post("/reset", status_code=204, summary="Forget what was posted with this test key")
async def reset_rehearsals(context: Ctx, caller: CanIngestOrTest) -> Response:
    """For the beginning of the next test."""
    key_id = _test_key(caller)
    async with context.transaction() as tx:
        await rehearsals.reset(tx.driver, key_id)
    return Response(status_code=204)


def _test_key(caller: Caller) -> str:
    if not caller.test:
        raise Problem(409, "this is not a test key: make one with POST /v1/keys and test: true")
    return caller.key_id


def _serial(cursor: str) -> int:
    (serial,) = decode_cursor(cursor, 1)
    if type(serial) is not int or not 0 <= serial <= _SERIAL_MAX:
        raise Problem(422, "the cursor is not one of ours")
    return serial
