"""What an app's routes do with callers who have no key, or one of another scope: asked, not read.

Every route is called, whatever kind it is. What a route declares about itself is believed only
where it says that it is public, and then it must not answer 401 either.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
from fastapi import FastAPI
from starlette.routing import BaseRoute, Mount, Route

from shared.events.keys import Scope
from shared.runtime.auth import IMPLIED

# FastAPI's own pages about the interface tell nothing about customers.
DOCUMENTATION = frozenset({"/docs", "/docs/oauth2-redirect", "/redoc", "/openapi.json"})
UNAUTHORIZED, FORBIDDEN = 401, 403


@dataclass(frozen=True, slots=True)
class Door:
    """One method of one route."""

    method: str
    path: str
    public: bool

    @property
    def example(self) -> str:
        """The path with something in place of its parameters."""
        return re.sub(r"\{[^}]+\}", "x", self.path)


def doors(app: FastAPI) -> Iterator[Door]:
    """Every way in; a mounted app would hide its own, so there may be none."""
    for route in app.routes:
        yield from _doors_of(route, "")


def _doors_of(route: BaseRoute, prefix: str) -> Iterator[Door]:
    # FastAPI keeps an included router whole, as one route of a kind of its own.
    included = getattr(route, "original_router", None)
    if included is not None:
        inner = prefix + getattr(route, "include_context").prefix  # noqa: B009 — private kind
        for one in included.routes:
            yield from _doors_of(one, inner)
        return
    assert not isinstance(route, Mount), f"{route.path} is mounted: nobody sees its routes"
    assert isinstance(route, Route), f"{route} is of a kind that this does not know"
    extra: Mapping[str, Any] = getattr(route, "openapi_extra", None) or {}
    path = prefix + route.path
    public = bool(extra.get("x-public")) or path in DOCUMENTATION
    for method in sorted((route.methods or set()) - {"HEAD"}):
        yield Door(method, path, public)


async def complaints(
    app: FastAPI, client: httpx.AsyncClient, keys: Mapping[Scope, Mapping[str, str]]
) -> list[str]:
    """Doors that are open to somebody who should stay outside, or shut though they are public.

    `keys`: headers with a key of each scope.
    """
    known = list(doors(app))
    found = [] if any(one.path.startswith("/v1/") for one in known) else ["no route was found"]
    for door in known:
        nobody = (await client.request(door.method, door.example)).status_code
        if door.public:
            if nobody == UNAUTHORIZED:
                found.append(f"{door.method} {door.path} says it is public and is not")
            continue
        if nobody != UNAUTHORIZED:
            found.append(f"{door.method} {door.path} answers {nobody} without a key")
            continue
        opened = frozenset(
            [
                scope
                for scope, key in keys.items()
                if (await client.request(door.method, door.example, headers=key)).status_code
                != FORBIDDEN
            ]
        )
        if opened not in _OPENED_BY_ONE:
            found.append(f"{door.method} {door.path} opens to {sorted(opened)}")
    return found


# For a door that asks for one scope: the scopes whose keys have it. All four would be no lock.
_OPENED_BY_ONE = [
    frozenset(scope for scope, implied in IMPLIED.items() if wanted in implied)
    for wanted in IMPLIED
]
