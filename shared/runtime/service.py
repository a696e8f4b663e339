"""How a service describes itself: a few tables of contents that the runtime brings to life."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa
from fastapi import APIRouter

from shared.clock import Clock
from shared.events.topics import Topic
from shared.runtime.auth import KeyRing
from shared.runtime.db import Database, ReadSession, Transaction
from shared.runtime.decoding import decode_event
from shared.runtime.failpoints import FailPoints
from shared.runtime.health import Health
from shared.runtime.inbox import Message
from shared.runtime.log import Log, Record
from shared.runtime.settings import RuntimeSettings

Role = Literal["api", "consumer", "jobs"]
ROLES: frozenset[Role] = frozenset({"api", "consumer", "jobs"})

# handler(tx, events, *, now): events of the named classes, in order per customer.
EventHandler = Callable[..., Awaitable[None]]
Decode = Callable[[Record], Sequence[Message]]


@cache
def _is_one_of(kind: Any, wanted: tuple[type, ...]) -> bool:
    """`issubclass`, remembered: of a model it walks abstract bases, and every event is asked."""
    return issubclass(kind, wanted)


@dataclass(frozen=True, slots=True)
class On:
    """A batch handler and the event classes it takes, in one list and in order."""

    events: tuple[type, ...]
    handle: EventHandler

    def takes(self, event: object) -> bool:
        """Whether an event is of one of the classes."""
        kind: Any = type(event)
        return _is_one_of(kind, self.events)


@dataclass(frozen=True, slots=True)
class Subscription:
    """A topic, and what to do with what comes. Types without a handler are passed over."""

    topic: Topic
    handlers: tuple[On, ...]
    decode: Decode = decode_event


@dataclass(frozen=True, slots=True)
class Job:
    """Work that the clock starts. `run(context, now)` returns True when there is more at once.

    An exclusive job runs in the leader only; another one runs in every replica and shares its rows
    by leases (`FOR UPDATE SKIP LOCKED`).
    """

    name: str
    period_seconds: float
    run: Callable[["Context", datetime], Awaitable[bool]]
    exclusive: bool = True


@dataclass(frozen=True, slots=True)
class Context:
    """What one role of a running service has in its hands."""

    name: str
    settings: Any
    database: Database
    log: Log
    clock: Clock
    keys: KeyRing
    health: Health
    failpoints: FailPoints
    poke_relay: Callable[[], Awaitable[None]]
    resources: Any = None

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """A transaction that commits on leaving and then wakes the relay."""
        return _relayed(self)

    def read(self) -> AbstractAsyncContextManager[ReadSession]:
        return self.database.read()


class _relayed(AbstractAsyncContextManager[Transaction]):  # noqa: N801 — used as a function
    """The transaction of a request or job."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._opened = context.database.transaction(context.clock, resources=context.resources)
        self._transaction: Transaction | None = None

    async def __aenter__(self) -> Transaction:
        self._transaction = await self._opened.__aenter__()
        return self._transaction

    async def __aexit__(self, *failure: Any) -> bool | None:
        handled = await self._opened.__aexit__(*failure)
        if failure[0] is None and self._transaction is not None and self._transaction.leaving:
            await self._context.poke_relay()
        return handled


# Opens what a role needs besides the runtime's own parts, in that role's event loop.
Resources = Callable[[RuntimeSettings, Database, Log], AbstractAsyncContextManager[Any]]


@dataclass(frozen=True, slots=True)
class Service:
    """A service: built by `build(settings)` in its `main.py`, run by `shared.runtime.app`."""

    name: str
    settings: RuntimeSettings
    metadata: sa.MetaData
    migrations: Path
    router: APIRouter = field(default_factory=APIRouter)
    subscriptions: tuple[Subscription, ...] = ()
    jobs: tuple[Job, ...] = ()
    resources: Resources | None = None
    # Wraps the ASGI app, for paths too hot for routing: wrap(app, get_context) -> app.
    wrap: Callable[[Any, Callable[[], Context]], Any] | None = None
