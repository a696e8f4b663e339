"""Segment's and RudderStack's interface: their clients work here by a change of host.

A body is read as bytes whatever its label says: browsers call it text, RudderStack's Node client a
form. It is taken apart only for who names a key that may post. 200 means that the broker has every
call's event, or its refusal; the verdicts are in the answer. Everything else is an object with
`code` and `message`, without which clients send a batch again ten times. Trouble that another try
may end is told for the whole request, with `Retry-After`.
"""

import asyncio
import base64
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Annotated
from urllib.parse import parse_qsl

import orjson
from fastapi import APIRouter, Path, Request
from fastapi.responses import Response

from services.ingest.api import segment_schemas as schemas
from services.ingest.api.body import BodyLimits, Gone, read_body
from services.ingest.api.door import bucket_of, deliver, problem_of, told
from services.ingest.api.segment_paths import HISTORY, POSTS, SHOWN
from services.ingest.domain.segment import pixel, write_key
from services.ingest.domain.segment.calls import KINDS, Kind, read_request
from services.ingest.domain.segment.calls import Request as Calls
from services.ingest.domain.segment.verdict import SLICE, joined, judge_slices
from services.ingest.domain.verdict import Unreadable, Verdicts
from services.ingest.handlers.receipt import receipt_time
from services.ingest.sender import Hold
from shared.clock import monotonic_seconds
from shared.ids import random_event_id
from shared.runtime import metrics
from shared.runtime.auth import Caller
from shared.runtime.http import Ctx, Problem, authorize, problem_response
from shared.runtime.service import Context
from shared.runtime.telemetry import logger
from shared.runtime.web import BodyTooLarge

router = APIRouter(tags=["segment"])
Headers = Mapping[bytes, bytes]
_log = logger("segment")
_CLIENT_CLOSED = 499
_QUERY_FIELDS_MAX = 200
_PUBLIC = {"x-public": True}
_GIF = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
_KIND_OF: dict[str, Kind] = {name: kind for kind in KINDS for name in (kind, kind[0])}
_CODES = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    429: "rate_limited",
    503: "unavailable",
}
# For Segment's clients what is too large or of an odd encoding is a bad request.
_AS_BAD_REQUEST = {408: "bad_request", 413: "too_large", 415: "bad_request"}


async def post_calls(
    context: Context, request: Request, kind: Kind | None, *, present: bool = True
) -> Response:
    """Takes a call of a kind, or a batch of them. What is not `present` is history: its time of
    sending says nothing of a clock."""
    headers = dict(request.scope["headers"])
    try:
        response: Response = await _take(context, headers, request, kind, present=present)
    except Gone:
        return Response(status_code=_CLIENT_CLOSED)
    except Exception as error:
        response = problem_response(_problem(context, error))
    return _shared(headers, response)


async def _take(
    context: Context, headers: Headers, request: Request, kind: Kind | None, *, present: bool
) -> Response:
    """1. Who puts a key beside the body is known before that is read; of others less is taken.
    2. Of these too somebody must be known who may post, by the keys that the body seems to name.
    3. Then the body is taken apart, and tells which key it is: see `write_key`.
    """
    intake = context.resources
    key = write_key.of_authorization(headers.get(b"authorization", b""))
    caller = _admitted(context, key) if key else None
    beside = _beside(headers, request)
    payer = caller or _known(context, beside)
    with intake.sender.hold() if payer else intake.sender.hold_stranger() as hold:
        body = await _body(context, headers, request, hold, known=payer is not None)
        if payer is None:
            payer = _first_admitted(context, [*write_key.named_in(body), *beside])
            hold.introduce()
        try:
            calls = _read(body, kind)
        except Problem:
            intake.bucket_of(payer.key_id).pay(1)  # what cannot be read is work too
            raise
        if caller is None:
            caller = _admitted(context, calls.write_key or next(iter(beside), ""))
        if not present or _is_repeated(headers):
            calls = replace(calls, sent_at=None)
        return await _judged(context, caller, headers, calls, len(body))


async def _body(
    context: Context, headers: Headers, request: Request, hold: Hold, *, known: bool
) -> bytes:
    settings = context.settings
    bytes_max = settings.segment_request_bytes_max
    seconds = settings.body_seconds_max if known else settings.stranger_body_seconds_max
    async with asyncio.timeout(min(seconds, settings.body_seconds_max)):
        return await read_body(headers, request.receive, hold, BodyLimits(bytes_max, bytes_max))


def _is_repeated(headers: Headers) -> bool:
    """Whether a client sends again what it made earlier, and may have stamped then."""
    return headers.get(b"x-retry-count", b"").strip() not in (b"", b"0")


async def _judged(
    context: Context, caller: Caller, headers: Headers, calls: Calls, body_bytes: int
) -> Response:
    """A slice at a time: thousands of calls would hold up everybody else."""
    now, rules = receipt_time(context.clock), context.resources.rules
    bucket = context.resources.bucket_of(caller.key_id)
    parts: list[Verdicts] = []
    try:
        for part in judge_slices(calls, rules, body_bytes, now, random_event_id):
            parts.append(part)
            if len(calls.calls) > SLICE:
                await asyncio.sleep(0)
    except Unreadable as error:
        bucket.pay(1)
        raise Problem(error.status, error.detail) from None
    verdicts = joined(parts)
    bucket.pay(len(calls.calls))
    if calls.calls:
        await deliver(context, caller, headers, verdicts)
    accepted, rejected = told(verdicts)
    receipt = {"success": True, "accepted": accepted, "rejected": rejected}
    return Response(orjson.dumps(receipt), media_type="application/json")


def _read(body: bytes, kind: Kind | None) -> Calls:
    try:
        return read_request(body, kind)
    except Unreadable as error:
        raise Problem(error.status, error.detail) from None


def _admitted(context: Context, key: str) -> Caller:
    """Who may post now; `Problem` 401, 403, 429 or 503 for who may not."""
    try:
        caller = authorize(context, key, "ingest", test_too=True)
        bucket_of(context, caller)
    except Problem as problem:
        if problem.status != 401:  # noqa: PLR2004
            raise
        raise _unknown(problem) from None
    return caller


def _unknown(problem: Problem) -> Problem:
    detail = "a valid write key is needed: a key with the scope ingest (tn_<id>_<secret>)"
    return Problem(401, detail, headers=problem.headers)


def _first_admitted(context: Context, keys: Sequence[str]) -> Caller:
    """The first who may post now; else `Problem`, of the first key that is known if one is."""
    found: Problem | None = None
    for key in keys or ("",):
        try:
            return _admitted(context, key)
        except Problem as problem:
            if found is None or found.status == 401:  # noqa: PLR2004
                found = problem
    assert found is not None, "at least the empty key was tried"
    raise found


def _known(context: Context, keys: Sequence[str]) -> Caller | None:
    try:
        return _first_admitted(context, keys)
    except Problem:
        return None  # the body may name another


def _beside(headers: Headers, request: Request) -> list[str]:
    """The keys beside the body that count where it names none, the first that is there first."""
    named = (
        headers.get(b"x-write-key", b"").decode("latin-1"),
        dict(_query(request)).get("writeKey"),
    )
    return [key for key in named if key]


def _query(request: Request) -> list[tuple[str, str]]:
    try:
        return parse_qsl(
            request.scope["query_string"].decode("latin-1"), max_num_fields=_QUERY_FIELDS_MAX
        )
    except ValueError:
        return []


def _problem(context: Context, error: Exception) -> Problem:
    """What went wrong as all these clients understand it."""
    if isinstance(error, BodyTooLarge):
        problem = Problem(413, str(error.detail))
    else:
        problem = error if isinstance(error, Problem) else problem_of(error)
    status = 400 if problem.status in _AS_BAD_REQUEST else problem.status
    code = _AS_BAD_REQUEST.get(problem.status) or _CODES.get(problem.status, "internal_error")
    headers = dict(problem.headers)
    if status == 503:  # noqa: PLR2004
        headers["Retry-After"] = str(context.settings.segment_retry_after_seconds)
    return Problem(status, problem.detail, headers=headers, code=code, message=problem.detail)


def _shared(headers: Headers, response: Response) -> Response:
    """Lets a shop's pages read the answer. No cookie is ever looked at, so any origin may."""
    origin = headers.get(b"origin")
    if origin is not None:
        response.headers["Access-Control-Allow-Origin"] = origin.decode("latin-1")
        response.headers["Access-Control-Allow-Credentials"] = "true"
        response.headers["Access-Control-Expose-Headers"] = "Retry-After"
        response.headers["Vary"] = "Origin"
    return response


def _poster(path: str, kind: Kind | None) -> Callable[..., Awaitable[Response]]:
    async def post(context: Ctx, request: Request) -> Response:
        return await post_calls(context, request, kind, present=path not in HISTORY)

    return post


async def preflight(request: Request) -> Response:
    """What a page of another origin may send here."""
    response = _shared(dict(request.scope["headers"]), Response(status_code=204))
    response.headers["Access-Control-Allow-Methods"] = "GET, POST, OPTIONS"
    response.headers["Access-Control-Allow-Headers"] = (
        "authorization, content-type, content-encoding, x-write-key, x-retry-count"
    )
    response.headers["Access-Control-Max-Age"] = "86400"
    return response


for _path, _kind in POSTS.items():
    router.add_api_route(
        _path,
        _poster(_path, _kind),
        methods=["POST"],
        name=f"post {_path}",
        summary=schemas.summary(_kind),
        description=schemas.DESCRIPTION,
        response_model=schemas.SegmentReceipt,
        responses=schemas.RESPONSES,
        openapi_extra=schemas.request_of(_kind),
        include_in_schema=_path in SHOWN,
    )
    router.add_api_route(
        _path,
        preflight,
        methods=["OPTIONS"],
        name=f"preflight {_path}",
        include_in_schema=False,
        openapi_extra=_PUBLIC,
    )


@router.get(
    "/v1/projects/{key}/settings",
    response_model=schemas.ProjectSettings,
    responses={404: {"model": schemas.SegmentProblem, "description": "no key of ours"}},
    openapi_extra=_PUBLIC,
)
async def read_settings(
    context: Ctx, request: Request, key: Annotated[str, Path(max_length=200)]
) -> Response:
    """What Segment's browser client reads before it starts: that it sends everything here, under
    the write key that the path names."""
    headers = dict(request.scope["headers"])
    try:
        authorize(context, key, "ingest", test_too=True)
        response = Response(
            orjson.dumps(schemas.project_settings(key, *_address(request))),
            media_type="application/json",
        )
    except Problem as problem:
        known = problem.status not in {401, 403}
        unknown = Problem(404, "there is no such write key")
        response = problem_response(_problem(context, problem if known else unknown))
    return _shared(headers, response)


def _address(request: Request) -> tuple[str, str]:
    """Scheme and host under which the client found us; a proxy in front tells the scheme."""
    told_scheme = request.headers.get("x-forwarded-proto", "")
    scheme = told_scheme if told_scheme in {"http", "https"} else request.url.scheme
    return scheme, request.headers.get("host", request.url.netloc)


@router.get("/v1/pixel/{call}", response_class=Response, openapi_extra=_PUBLIC)
@router.get("/pixel/v1/{call}", response_class=Response, openapi_extra=_PUBLIC)
async def show_pixel(
    context: Ctx, request: Request, call: Annotated[str, Path(max_length=20)]
) -> Response:
    """A call as an image, for mails and pages without scripts: `data` is the call as base64 of its
    JSON, or its fields stand in the query (`userId`, `event`, `properties.subject`, `writeKey`).
    Always answers 200 with an image of one point, also when the call was refused."""
    try:
        await _take_pixel(context, request, _KIND_OF.get(call))
    except Exception as error:
        _lost(context, _problem(context, error))
    return Response(_GIF, media_type="image/gif")


async def _take_pixel(context: Context, request: Request, kind: Kind | None) -> None:
    query = _query(request)
    if kind is None:
        raise Problem(404, "there is no such call")
    body = pixel.body_of(query)
    calls = _read(body, kind)
    caller = _admitted(context, dict(query).get("writeKey") or calls.write_key or "")
    await _judged(context, caller, dict(request.scope["headers"]), calls, len(body))


def _lost(context: Context, problem: Problem) -> None:
    """An image cannot tell that its call was not taken: the metrics can, and now and then the log.
    A mail that names a wrong key is opened a thousand times."""
    code = problem.extra["code"]
    metrics.PIXELS_LOST.labels(code).inc()
    warnings = context.resources.pixel_warnings
    if warnings.wait_seconds(monotonic_seconds()) == 0:
        warnings.pay(1)
        _log.warning("calls of images are not taken", code=code, detail=problem.detail)
