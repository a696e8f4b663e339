"""What PostgreSQL cannot be asked with is refused as a problem, wherever it stands in a URL."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from services.campaigns.main import build as campaigns
from services.ingest.main import build as ingest
from services.insights.main import build as insights
from services.loyalty.main import build as loyalty
from services.scoring.main import build as scoring
from services.webhooks.main import build as webhooks
from shared.runtime.service import Service
from shared.testing.harness import running

SOUND = "2026-01-01T00:00:00+00:00"
# Before the year 1 and after the year 9999 once they are in UTC.
INSTANTS = ("0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", 5)
NAMES = ("\x00", "\ud800", 5, None)
NUMBERS = ("x", -1, 10**30, True, None)
SCORES = ("x", 10**400, True, None)
NUL_URLS: dict[Callable[..., Service], tuple[str, ...]] = {
    campaigns: (
        "/v1/customers/%00/consent",
        "/v1/customers/%00/profile",
        "/v1/customers/%00/decisions",
        "/v1/interventions/%00",
        "/v1/interventions?customer_id=%00",
        "/v1/tasks?assignee=%00",
        "/v1/journeys/%00",
        "/v1/journeys/%00/versions",
        "/u/%00",
    ),
    ingest: (
        "/v1/customers/%00/identity",
        "/v1/keys/%00/rotate",
        "/v1/rejections?source=%00",
        "/v1/rejections/%00",
        "/v1/rejections/%00/replay",
        "/v1/tracking-plan/violations?type=%00",
        "/v1/tracking-plan/draft?type=%00",
        "/v1/tracking-plan/versions/99999999999",
    ),
    loyalty: (
        "/v1/members/%00",
        "/v1/members/%00/statement",
        "/v1/redemptions/%00",
        "/v1/redemptions/%00/capture",
    ),
    webhooks: (
        "/v1/endpoints/%00",
        "/v1/endpoints/%00/deliveries",
        "/v1/endpoints/%00/test",
        "/v1/deliveries/%00",
        "/v1/deliveries/%00/resend",
    ),
    scoring: (
        "/v1/customers/%00/assessment",
        "/v1/customers/%00/assessment/history",
        "/v1/customers?segment=%00",
        "/v1/customers?lifecycle=%00",
        "/v1/models/%00",
    ),
    insights: (
        "/v1/customers/%00/timeline",
        "/v1/customers/c-1/timeline?kind=%00",
        "/v1/metrics/overview?segment=%00",
        "/v1/metrics/overview?to=0001-01-02",
        "/v1/metrics/overview?from=9999-12-01&to=9999-12-31T23:59:59Z",
    ),
}
LISTS: dict[Callable[..., Service], tuple[tuple[str, tuple[Any, ...]], ...]] = {
    campaigns: (
        ("/v1/customers/c-1/decisions", (SOUND, 1, "x")),
        ("/v1/interventions", (SOUND, 1, "x")),
        ("/v1/tasks", (SOUND, 1, "x")),
        ("/v1/journeys", ("x",)),
        ("/v1/journeys/win-back/versions", (1,)),
        ("/v1/offers", ("x",)),
        ("/v1/templates", ("x",)),
    ),
    ingest: (
        ("/v1/keys", (SOUND, "x")),
        ("/v1/rejections", (SOUND, "x")),
        ("/v1/tracking-plan/versions", (1,)),
        ("/v1/tracking-plan/violations", ("x", "x", "x")),
    ),
    loyalty: (("/v1/members/c-1/statement", (SOUND, "x", 1)),),
    webhooks: (("/v1/endpoints", (SOUND, "x")),),
    scoring: (
        ("/v1/customers?sort=churn_risk", (0.5, "x")),
        ("/v1/customers?sort=clv", (0.5, "x")),
        ("/v1/customers/c-1/assessment/history", (1,)),
        ("/v1/models", (1,)),
    ),
    insights: (("/v1/customers/c-1/timeline", (SOUND, SOUND, "x", "x")),),
}


_BADS: dict[type, tuple[Any, ...]] = {int: NUMBERS, float: SCORES, str: NAMES}


def cursor(position: list[Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(position).encode()).decode()


def hostile(position: tuple[Any, ...]) -> list[str]:
    """The cursor with one part after the other replaced by what can't be asked with."""
    made = []
    for place, part in enumerate(position):
        bads = INSTANTS if part == SOUND else _BADS[type(part)]
        made += [cursor([*position[:place], bad, *position[place + 1 :]]) for bad in bads]
    return made


@pytest.mark.parametrize("build", NUL_URLS, ids=lambda build: build.__module__.split(".")[1])
async def test_hostile_names_and_cursors_are_the_callers_mistake(
    build: Callable[..., Service], database_url: str
) -> None:
    key = base64.b64encode(bytes(32)).decode()
    settings = {"secret_key": key} if build is webhooks else None
    async with running(build, database_url, settings=settings, consume=False) as service:
        urls = [*NUL_URLS[build]]
        for path, position in LISTS[build]:
            joint = "&" if "?" in path else "?"
            urls += [f"{path}{joint}cursor={one}" for one in hostile(position)]
        for url in urls:
            post = url.endswith(("/rotate", "/replay", "/capture", "/test", "/resend"))
            reply = await service.client.request(
                "POST" if post else "GET", url, headers=service.key("admin")
            )
            assert reply.status_code in {404, 422}, (url, reply.text)
            if not url.startswith("/u/"):  # a page for people
                assert reply.headers["content-type"] == "application/problem+json"


# Bodies as they come on the wire, each with one thing in it that cannot be kept.
BODIES: dict[Callable[..., Service], tuple[tuple[str, str, str], ...]] = {
    campaigns: tuple(
        (method, path, form.replace("BAD", bad))
        for method, path, form in (
            ("POST", "/v1/templates/win-back/preview", '{"customer_id": "aBAD"}'),
            ("POST", "/v1/templates/win-back/preview", '{"offer": "aBAD"}'),
            ("PUT", "/v1/customers/c-1/consent", '{"consent": {"email": {"aBAD": true}}}'),
            ("PUT", "/v1/customers/c-1/consent", '{"consent": {}, "source": "aBAD"}'),
            ("PUT", "/v1/customers/c-1/profile", '{"name": "aBAD"}'),
            ("PUT", "/v1/customers/c-1/profile", '{"timezone": "aBAD"}'),
            ("PUT", "/v1/customers/c-1/profile", '{"custom": {"aBAD": 1}}'),
            ("PUT", "/v1/customers/c-1/profile", '{"custom": {"a": "BAD"}}'),
            ("PUT", "/v1/customers/c-1/profile", '{"custom": {"a": ["BAD"]}}'),
            ("PUT", "/v1/policy", '{"implied_consent": {"email": ["aBAD"]}}'),
            ("PUT", "/v1/policy", '{"timezone": "aBAD"}'),
            ("POST", "/v1/tasks/t-1/done", '{"outcome": "aBAD"}'),
        )
        for bad in ("\\u0000", "\\ud800")
    ),
}


@pytest.mark.parametrize("build", BODIES, ids=lambda build: build.__module__.split(".")[1])
async def test_hostile_bodies_are_the_callers_mistake(
    build: Callable[..., Service], database_url: str
) -> None:
    async with running(build, database_url, consume=False) as service:
        for method, path, body in BODIES[build]:
            reply = await service.client.request(
                method, path, content=body, headers=service.key("admin")
            )
            assert reply.status_code == 422, (path, body, reply.text)
            assert reply.headers["content-type"] == "application/problem+json"
