"""Segment's and RudderStack's interface: their clients work here by a change of host.

A body is read as bytes whatever its label says: browsers call it text, RudderStack's Node client a
form. 200 means that the broker has every call's event, or its refusal; the verdicts are in the
answer. Everything else is an object with `code` and `message`, without which clients send a batch
again ten times. Trouble that another try may end is told for the whole request, with `Retry-After`.
"""

import asyncio
import base64
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated
from urllib.parse import parse_qsl

import orjson
from fastapi import APIRouter, Path, Request
from fastapi.responses import Response

from services.ingest.api import segment_schemas as schemas
from services.ingest.api.body import BodyLimits, Gone, read_body
from services.ingest.api.door import bucket_of, deliver, problem_of, told
from services.ingest.api.segment_paths import POSTS, SHOWN
from services.ingest.domain.segment import pixel, write_key
from services.ingest.domain.segment.calls import KINDS, Kind, read_request
from services.ingest.domain.segment.calls import Request as Calls
from services.ingest.domain.segment.verdict import Rules, judge_calls
from services.ingest.domain.verdict import Unreadable
from services.ingest.handlers.receipt import receipt_time
from shared.ids import random_event_id
from shared.runtime.auth import Caller
from shared.runtime.http import Ctx, Problem, authorize, problem_response
from shared.runtime.service import Context
from shared.runtime.web import BodyTooLarge

router = APIRouter(tags=["segment"])
Headers = Mapping[bytes, bytes]
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


async def post_calls(context: Context, request: Request, kind: Kind | None) -> Response:
    """Takes a call of a kind, or a batch of them."""
    headers = dict(request.scope["headers"])
    try:
        response: Response = await _take(context, headers, request, kind)
    except Gone:
        return Response(status_code=_CLIENT_CLOSED)
    except Exception as error:
        response = _failure(context, error)
    return _shared(headers, response)


async def _take(
    context: Context, headers: Headers, request: Request, kind: Kind | None
) -> Response:
    """Who puts the key into the header is known before the body is read."""
    settings, intake = context.settings, context.resources
    limits = BodyLimits(settings.segment_request_bytes_max, settings.segment_request_bytes_max)
    key = write_key.of_authorization(headers.get(b"authorization", b""))
    caller = _admitted(context, key) if key else None
    with intake.sender.hold() as hold:
        async with asyncio.timeout(settings.body_seconds_max):
            body = await read_body(headers, request.receive, hold, limits)
        calls = _read(body, kind) if caller or body else Calls([], {}, kind, None)
        if caller is None:
            elsewhere = headers.get(b"x-write-key", b"").decode("latin-1")
            found = calls.write_key or elsewhere or dict(_query(request)).get("writeKey", "")
            caller = _admitted(context, found)
        return await _judged(context, caller, headers, calls, len(body))


async def _judged(
    context: Context, caller: Caller, headers: Headers, calls: Calls, body_bytes: int
) -> Response:
    settings = context.settings
    rules = Rules(
        context.resources.limits,
        settings.segment_events_per_request_max,
        settings.segment_event_bytes_max,
        settings.segment_currency,
    )
    now = receipt_time(context.clock)
    try:
        verdicts = judge_calls(calls, rules, body_bytes, now, random_event_id)
    except Unreadable as error:
        raise Problem(error.status, error.detail) from None
    context.resources.bucket_of(caller.key_id).pay(len(calls.calls))
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
        caller = authorize(context, key, "ingest")
        bucket_of(context, caller)
    except Problem as problem:
        if problem.status != 401:  # noqa: PLR2004
            raise
        detail = "a valid write key is needed: a key with the scope ingest (tn_<id>_<secret>)"
        raise Problem(401, detail, headers=problem.headers) from None
    return caller


def _query(request: Request) -> list[tuple[str, str]]:
    try:
        return parse_qsl(
            request.scope["query_string"].decode("latin-1"), max_num_fields=_QUERY_FIELDS_MAX
        )
    except ValueError:
        return []


def _failure(context: Context, error: Exception) -> Response:
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
    return problem_response(
        Problem(status, problem.detail, headers=headers, code=code, message=problem.detail)
    )


def _shared(headers: Headers, response: Response) -> Response:
    """Lets a shop's pages read the answer. No cookie is ever looked at, so any origin may."""
    origin = headers.get(b"origin")
    if origin is not None:
        response.headers["Access-Control-Allow-Origin"] = origin.decode("latin-1")
        response.headers["Access-Control-Allow-Credentials"] = "true"
        response.headers["Access-Control-Expose-Headers"] = "Retry-After"
        response.headers["Vary"] = "Origin"
    return response


def _poster(kind: Kind | None) -> Callable[..., Awaitable[Response]]:
    async def post(context: Ctx, request: Request) -> Response:
        return await post_calls(context, request, kind)

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
        _poster(_kind),
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
        authorize(context, key, "ingest")
        response = Response(
            orjson.dumps(schemas.project_settings(key, *_address(request))),
            media_type="application/json",
        )
    except Problem as problem:
        known = problem.status not in {401, 403}
        unknown = Problem(404, "there is no such write key")
        response = _failure(context, problem if known else unknown)
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
    kind = _KIND_OF.get(call)
    query = _query(request)
    if kind is not None and query:
        try:
            body = pixel.body_of(query)
            calls = _read(body, kind)
            key = dict(query).get("writeKey") or calls.write_key or ""
            caller = _admitted(context, key)
            await _judged(context, caller, dict(request.scope["headers"]), calls, len(body))
        except Exception as error:
            _failure(context, error)  # an image cannot tell it, the log can
    return Response(_GIF, media_type="image/gif")
