"""What several routes share: ids in paths, keys of requests, and answers given once."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Header, Path
from fastapi.responses import Response
from pydantic import BaseModel

from services.loyalty.domain.accounts import Refused
from services.loyalty.store import answers
from shared.ids import CustomerId, random_id
from shared.runtime.db import Transaction
from shared.runtime.http import Problem
from shared.runtime.service import Context

CREATED = 201
# PostgreSQL's text cannot hold NUL.
Id = Annotated[str, Path(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=200,
        pattern=r"^[^\x00]*$",
        description="The same key and body give the same answer, with `Idempotency-Hit: true`.",
    ),
]


class Refusal(Problem):
    """409: the ledger refuses, and nothing was booked."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(409, refused.detail, reason=refused.reason, available=refused.available)


async def answer_once(
    context: Context,
    operation: str,
    key: str | None,
    customer: CustomerId,
    body: BaseModel,
    work: Callable[[Transaction, str], Awaitable[BaseModel]],
) -> Response:
    """Does `work(tx, request_id)` in one transaction and keeps its answer under the key.

    A refusal leaves no trace, so the same key may be tried again. The same key for something else
    is a 422.
    """
    asked = answers.hash_of(customer, body.model_dump_json())
    async with context.transaction() as tx:
        if key is not None:
            known = await answers.claim(
                tx.driver, operation, key, asked, customer, context.clock.now()
            )
            if known is not None and known.body_hash != asked:
                raise Problem(422, "this Idempotency-Key was used for another request")
            if known is not None:
                return _json(known.answer, known.status, {"Idempotency-Hit": "true"})
        # Not derived from the key: an erasure forgets the key, and then it may come again.
        answer = (await work(tx, random_id(operation))).model_dump_json()
        if key is not None:
            await answers.fill(tx.driver, operation, key, CREATED, answer)
    return _json(answer, CREATED, {})


def _json(answer: str, status: int, headers: dict[str, str]) -> Response:
    return Response(answer, status, headers, media_type="application/json")
