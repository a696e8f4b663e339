"""The HTTP edge that all services share: callers and scopes, problem details, pages, limits."""

import base64
import binascii
import json
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Depends, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException as StarletteHTTPException

from shared.clock import wall_now
from shared.events.keys import Scope
from shared.runtime.auth import Caller
from shared.runtime.failures import is_transient
from shared.runtime.service import Context
from shared.runtime.telemetry import logger

PROBLEM = "application/problem+json"
RETRY_AFTER_SECONDS = 2
ANSWERED = "tenure.failure_answered"
_log = logger("http")
_bearer = HTTPBearer(auto_error=False, description="`tn_<id>_<secret>`, from `tenure keys create`")
Item = TypeVar("Item")


class Problem(Exception):
    """An answer that is an error (RFC 9457): raise it from a route.

    `errors` lists {"path", "message"}; `headers` are added to the answer.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        errors: Sequence[dict[str, str]] = (),
        headers: dict[str, str] | None = None,
        **extra: Any,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = list(errors)
        self.headers = headers or {}
        self.extra = extra


class ProblemDetails(BaseModel):
    """RFC 9457, as the documentation of every service shows it."""

    model_config = ConfigDict(extra="allow")
    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[dict[str, str]] = Field(default_factory=list)


class Body(BaseModel):
    """Base of request bodies: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Page(BaseModel, Generic[Item]):
    """A page of a list; `next_cursor` is absent on the last one."""

    items: list[Item]
    next_cursor: str | None = None


Limit = Annotated[int, Query(ge=1, le=500, description="rows per page")]
Cursor = Annotated[
    str | None, Query(max_length=1_000, description="`next_cursor` of the page before")
]


def encode_cursor(*position: str | int | float | None) -> str:
    """An opaque cursor that stands for the last row's sort key."""
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode().rstrip("=")


def decode_cursor(cursor: str, size: int) -> list[Any]:
    """The sort key of a cursor with `size` parts; a foreign one is a 422."""
    try:
        position = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError):
        position = None
    if not isinstance(position, list) or len(position) != size:
        raise Problem(422, "the cursor is not one of ours", errors=[_error("cursor", "invalid")])
    return position


def context_of(request: Request) -> Context:
    """The running service, for routes: `context: Annotated[Context, Depends(context_of)]`."""
    context: Context = request.app.state.context
    return context


Ctx = Annotated[Context, Depends(context_of)]


class Requires:
    """A dependency that lets only callers with a scope through: `Depends(Requires("read"))`."""

    def __init__(self, scope: Scope, *, test_too: bool = False) -> None:
        self.scope = scope
        self.test_too = test_too

    async def __call__(
        self,
        request: Request,
        credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    ) -> Caller:
        key = credentials.credentials if credentials else ""
        return authorize(context_of(request), key, self.scope, test_too=self.test_too)


def authorize(context: Context, key: str, scope: Scope, *, test_too: bool = False) -> Caller:
    """The caller of a key; `Problem` 401 for an unknown key, 403 for a missing scope, or for a test
    key where nobody said `test_too`: who does not know of them would take what they send for real.
    """
    if "keys" in context.health.waiting_for:
        raise unavailable("keys are being read")
    if "clock" in context.health.waiting_for:
        raise unavailable("the time is being read")
    caller = context.keys.caller(key, wall_now())
    if caller is None:
        raise Problem(
            401,
            "a valid API key is needed: Authorization: Bearer tn_<id>_<secret>",
            headers={"WWW-Authenticate": "Bearer"},
        )
    if scope not in caller.scopes:
        raise Problem(403, f"this key lacks the scope {scope!r}")
    if caller.test and not test_too:
        raise Problem(403, "this is a test key, and nothing is tested here")
    return caller


CanIngest = Annotated[Caller, Depends(Requires("ingest"))]
CanIngestOrTest = Annotated[Caller, Depends(Requires("ingest", test_too=True))]
CanRead = Annotated[Caller, Depends(Requires("read"))]
CanOperate = Annotated[Caller, Depends(Requires("operate"))]
CanAdmin = Annotated[Caller, Depends(Requires("admin"))]


def unavailable(reason: str, retry_after_seconds: int = RETRY_AFTER_SECONDS) -> Problem:
    """503 with `Retry-After`: nothing was done, try again."""
    return Problem(503, reason, headers={"Retry-After": str(retry_after_seconds)})


def problem_response(problem: Problem) -> Response:
    """The answer of a problem."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail,
        **problem.extra,
    }
    if problem.errors:
        body["errors"] = problem.errors
    return JSONResponse(body, problem.status, problem.headers, media_type=PROBLEM)


def _error(path: str, message: str) -> dict[str, str]:
    return {"path": path, "message": message}


def validation_errors(errors: Sequence[Any]) -> list[dict[str, str]]:
    """pydantic's errors as paths and messages, without the values that were sent."""
    return [
        _error(".".join(str(part) for part in error["loc"]), str(error["msg"])) for error in errors
    ]


def install(app: FastAPI) -> None:
    """Makes every error of an app a problem detail."""
    handlers: dict[Any, Callable[[Request, Any], Awaitable[Response]]] = {
        Problem: _on_problem,
        RequestValidationError: _on_invalid,
        StarletteHTTPException: _on_http,
        Exception: _on_failure,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)


async def _on_problem(_request: Request, problem: Problem) -> Response:
    return problem_response(problem)


async def _on_invalid(_request: Request, error: RequestValidationError) -> Response:
    return problem_response(
        Problem(422, "the request is not valid", errors=validation_errors(error.errors()))
    )


async def _on_http(_request: Request, error: StarletteHTTPException) -> Response:
    headers = dict(error.headers) if error.headers else None
    return problem_response(Problem(error.status_code, str(error.detail), headers=headers))


async def _on_failure(request: Request, error: Exception) -> Response:
    request.scope[ANSWERED] = True  # Starlette raises it again all the same
    if is_transient(error):
        return problem_response(unavailable("the database or the broker is away"))
    _log.error("request failed", error=type(error).__name__, exc_info=error)
    return problem_response(Problem(500, "an error on our side; it has been logged"))
