"""The FastAPI application of a service: its routes, health, metrics, limits."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import lru_cache
from typing import Any

from fastapi import FastAPI
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Histogram
from starlette.exceptions import HTTPException as StarletteHTTPException

from shared.clock import monotonic_seconds
from shared.runtime import http, metrics
from shared.runtime.health import Health
from shared.runtime.service import Context, Service
from shared.runtime.settings import RuntimeSettings

# Routes that every service has for its operators; they tell nothing about customers.
OPERATIONS = ("/healthz", "/readyz", "/metrics")
_SECURITY_HEADERS = ((b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store"))

OpenContext = Callable[[], AbstractAsyncContextManager[Context]]


def make_app(
    service: Service, open_context: OpenContext | None, health: Health, version: str
) -> Any:
    """The ASGI app; without `open_context` (no `api` role) only health and metrics."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        if open_context is None:
            yield
            return
        async with open_context() as context:
            app.state.context = context
            yield

    app = FastAPI(
        title=f"Tenure {service.name}",
        version=version,
        lifespan=lifespan,
        responses={"4XX": {"model": http.ProblemDetails}, "5XX": {"model": http.ProblemDetails}},
    )
    http.install(app)
    _add_operations(app, health)
    wrapped: Any = app
    if open_context is not None:
        app.include_router(service.router)
        if service.wrap is not None:
            wrapped = service.wrap(app, lambda: app.state.context)
    return Edge(wrapped, app, service.settings)


def _add_operations(app: FastAPI, health: Health) -> None:
    @app.get("/healthz", tags=["operations"], openapi_extra={"x-public": True})
    async def alive() -> Response:
        """200 while the process makes progress; 503 with the reason when it should be restarted."""
        reason = health.stalled()
        return _state("alive" if reason is None else "stalled", reason, health)

    @app.get("/readyz", tags=["operations"], openapi_extra={"x-public": True})
    async def ready() -> Response:
        """200 when requests will be served; 503 with the reason otherwise. Tells the lag."""
        reason = health.unready()
        return _state("ready" if reason is None else "unready", reason, health)

    @app.get("/metrics", tags=["operations"], openapi_extra={"x-public": True})
    async def measured() -> Response:
        """Metrics in Prometheus' text format."""
        return Response(metrics.exposition(), media_type=CONTENT_TYPE_LATEST)


def _state(status: str, reason: str | None, health: Health) -> Response:
    body = {"status": status, "reason": reason, "lag_records": health.lag_records}
    return JSONResponse(body, 200 if reason is None else 503)


class Edge:
    """Outermost: bounds bodies, adds safe headers, counts requests by route template."""

    def __init__(self, inner: Any, app: FastAPI, settings: RuntimeSettings) -> None:
        self.inner = inner
        self.app = app
        self._bounded_elsewhere: frozenset[str] = getattr(inner, "bounds_itself", frozenset())
        self._body_bytes_max = settings.request_body_bytes_max
        self._body_seconds_max = settings.request_body_seconds_max

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.inner(scope, receive, send)
            return
        started = monotonic_seconds()
        status = 500
        if scope["path"] not in self._bounded_elsewhere:
            receive = _Bounded(receive, self._body_bytes_max, self._body_seconds_max)

        async def answer(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *_SECURITY_HEADERS]
            await send(message)

        try:
            await self.inner(scope, receive, answer)
        except (BodyTooLarge, BodyTooSlow) as error:
            problem = http.Problem(error.status_code, str(error.detail))
            await http.problem_response(problem)(scope, receive, answer)
        except Exception:
            if not scope.get(http.ANSWERED):
                raise
        finally:
            route = getattr(scope.get("route"), "path", scope.get("fast_route", "none"))
            requests, seconds = _counters(scope["method"], route, status)
            requests.inc()
            seconds.observe(monotonic_seconds() - started)


@lru_cache(maxsize=1_000)
def _counters(method: str, route: str, status: int) -> tuple[Counter, Histogram]:
    """The two metrics of a kind of request: finding them costs more than counting."""
    return metrics.REQUESTS.labels(method, route, str(status)), metrics.REQUEST_SECONDS.labels(
        route
    )


class BodyTooLarge(StarletteHTTPException):
    """More bytes than the setting allows; the rest is not read."""

    def __init__(self, bytes_max: int) -> None:
        super().__init__(413, f"the body is larger than {bytes_max} bytes")


class BodyTooSlow(StarletteHTTPException):
    """The body did not come whole in time."""

    def __init__(self, seconds_max: float) -> None:
        super().__init__(408, f"the body did not come within {seconds_max:g} s")


class _Bounded:
    def __init__(self, receive: Any, bytes_max: int, seconds_max: float) -> None:
        self._receive = receive
        self._bytes_max = bytes_max
        self._left = bytes_max
        self._seconds_max = seconds_max
        self._until = monotonic_seconds() + seconds_max
        self._whole = False

    async def __call__(self) -> Any:
        if self._whole:
            return await self._receive()  # what comes now is the end of the connection
        try:
            async with asyncio.timeout(self._until - monotonic_seconds()):
                message = await self._receive()
        except TimeoutError:
            raise BodyTooSlow(self._seconds_max) from None
        self._whole = not message.get("more_body", False)
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise BodyTooLarge(self._bytes_max)
        return message
