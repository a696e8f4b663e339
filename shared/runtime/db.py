"""PostgreSQL: two pools a service, and the transaction that everything is done in.

SQLAlchemy Core runs on `Transaction.connection`; hot paths take the asyncpg connection beneath it,
`Transaction.driver`, with `unnest` statements. Both are the same connection and transaction. Table
names need no schema: the search path is the service's own.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

import asyncpg
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from shared.clock import Clock
from shared.events.envelope import Event
from shared.events.written import Written
from shared.runtime import outbox
from shared.runtime.failpoints import FailPoint, FailPoints
from shared.runtime.settings import RuntimeSettings

Driver: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
_ROLL_BACK_SECONDS = 2


def asyncpg_url(url: str) -> str:
    """`postgresql://…` as SQLAlchemy wants it for asyncpg."""
    scheme, _, rest = url.partition("://")
    return f"postgresql+asyncpg://{rest}" if scheme in {"postgresql", "postgres"} else url


def plain_url(url: str) -> str:
    """`postgresql://…` as asyncpg itself wants it."""
    return url.replace("postgresql+asyncpg://", "postgresql://", 1)


def server_settings(settings: RuntimeSettings, *, read_only: bool) -> dict[str, str]:
    """The session's limits (milliseconds) and search path, set when connecting."""
    return {
        "application_name": f"tenure-{settings.SERVICE}",
        "search_path": settings.SERVICE,
        "jit": "off",
        "statement_timeout": str(int(settings.statement_timeout_seconds * 1000)),
        "lock_timeout": str(int(settings.lock_timeout_seconds * 1000)),
        "idle_in_transaction_session_timeout": str(
            int(settings.idle_in_transaction_seconds * 1000)
        ),
        "default_transaction_read_only": "on" if read_only else "off",
    }


@dataclass(slots=True)
class Transaction:
    """One open transaction of one service. Only the runtime commits it.

    `resources` is what the service opened at start (its models, its adapters).
    """

    connection: AsyncConnection
    driver: Driver
    clock: Clock
    resources: Any = None
    traces: dict[str, str] = field(default_factory=dict)
    leaving: list[outbox.Row] = field(default_factory=list)

    def publish(self, event: Event | Written) -> None:
        """Lets an event leave with this transaction: on Kafka if it commits, never otherwise."""
        trace = self.traces.get(event.cause or event.id)  # one passed on keeps its own trace
        self.leaving.append(outbox.row_of(event, trace))

    def publish_all(self, events: Sequence[Event | Written]) -> None:
        for event in events:
            self.publish(event)

    def at(self, event: Event) -> datetime:
        """The instant as of which `event` is judged: wall time, or its own on the event clock."""
        return self.clock.at(event.time)


@dataclass(slots=True)
class ReadSession:
    """A connection that cannot write."""

    connection: AsyncConnection
    driver: Driver


class Database:
    """The pools of one service in one process and event loop."""

    def __init__(self, settings: RuntimeSettings, failpoints: FailPoints) -> None:
        self._failpoints = failpoints
        self._write = self._engine(settings, settings.pool_connections, read_only=False)
        self._read = self._engine(settings, settings.read_pool_connections, read_only=True)

    @staticmethod
    def _engine(settings: RuntimeSettings, size: int, *, read_only: bool) -> AsyncEngine:
        return create_async_engine(
            asyncpg_url(settings.database_url),
            # The runtime opens transactions on the driver itself; SQLAlchemy must not add its own.
            isolation_level="AUTOCOMMIT",
            pool_size=size,
            max_overflow=0,
            pool_pre_ping=False,
            pool_timeout=settings.request_timeout_seconds,
            connect_args={
                "server_settings": server_settings(settings, read_only=read_only),
                "timeout": 5,
                "command_timeout": settings.statement_timeout_seconds + 5,
            },
        )

    @asynccontextmanager
    async def transaction(
        self, clock: Clock, *, resources: Any = None, gap: str = "request"
    ) -> AsyncIterator[Transaction]:
        """Commits on leaving without an error, together with the outbox; rolls back otherwise.

        `gap` names the fail-points around the commit.
        """
        async with _live(self._write) as (connection, driver):
            opened = driver.transaction()
            try:
                await opened.start()
                transaction = Transaction(connection, driver, clock, resources)
                yield transaction
                await outbox.insert(driver, transaction.leaving)
                await self._failpoints.reach(_gap(gap, "before_commit"))
                await asyncio.shield(opened.commit())
            except BaseException:
                await _roll_back(connection, opened)
                raise
        await self._failpoints.reach(_gap(gap, "after_commit"))

    @asynccontextmanager
    async def read(self) -> AsyncIterator[ReadSession]:
        """A connection for reading; every statement sees what is committed."""
        async with _live(self._read) as (connection, driver):
            try:
                yield ReadSession(connection, driver)
            except asyncio.CancelledError:
                await connection.invalidate()
                raise

    async def close(self) -> None:
        await self._write.dispose()
        await self._read.dispose()


def _gap(gap: str, moment: str) -> FailPoint:
    return f"{gap}.{moment}"  # type: ignore[return-value]  # the names are checked by a test


@asynccontextmanager
async def _live(engine: AsyncEngine) -> AsyncIterator[tuple[AsyncConnection, Driver]]:
    """A connection of the pool that is open: those that died with the server are thrown away."""
    while True:
        async with engine.connect() as connection:
            raw = await connection.get_raw_connection()
            driver: Driver | None = raw.driver_connection
            if driver is not None and not driver.is_closed():
                yield connection, driver
                return
            await connection.invalidate()


async def _roll_back(connection: AsyncConnection, opened: Any) -> None:
    """Rolls back, or throws the connection away when that is not surely possible."""
    try:
        async with asyncio.timeout(_ROLL_BACK_SECONDS):
            await opened.rollback()
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
        # Also after a cancelled statement: its connection is in an unknown state.
        await connection.invalidate()
