"""One of several replicas leads: it carries the outbox, or runs the exclusive jobs.

Leading is a PostgreSQL advisory lock held by one connection. The relay works on that same
connection, so losing the lock and losing the ability to delete are one event. A frozen leader is
cut off by `idle_session_timeout`, since a live one speaks at least once a second.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeAlias

import asyncpg

from shared.clock import monotonic_seconds
from shared.retry import Backoff
from shared.runtime import metrics
from shared.runtime.db import plain_url, server_settings
from shared.runtime.failures import is_transient
from shared.runtime.health import Health
from shared.runtime.outbox import Relay
from shared.runtime.settings import RuntimeSettings
from shared.runtime.telemetry import logger, told

_log = logger("leader")
_LOCK = "SELECT pg_try_advisory_lock($1)"
_CONNECT_SECONDS = 5
RELAY, JOBS = "relay", "jobs"
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


def lock_number(schema: str, duty: str) -> int:
    """A 63-bit number that stands for a duty of a service."""
    digest = hashlib.blake2b(f"{schema}/{duty}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) >> 1


def relay_channel(schema: str) -> str:
    """The notification channel by which other processes wake the relay."""
    return f"tenure_outbox_{schema}"


class Leader:
    """Competes for a duty, and does it while it has the lock."""

    def __init__(
        self,
        settings: RuntimeSettings,
        duty: str,
        lead: Callable[[Connection], Awaitable[None]],
        health: Health,
    ) -> None:
        self._settings = settings
        self._duty = duty
        self._lead = lead
        self._health = health
        self.leading = False

    async def run(self) -> None:
        """For ever; cancel it to stop."""
        delays = Backoff().delays()
        while True:
            began = monotonic_seconds()
            try:
                connection = await self._connect()
                try:
                    await self._compete(connection)
                finally:
                    self._leads(state=False)
                    # The session ends with its connection, and the lock with the session.
                    with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                        connection.terminate()
            except Exception as error:
                if not is_transient(error):
                    raise
                if monotonic_seconds() - began >= self._settings.leader_steady_seconds:
                    delays = Backoff().delays()
                self._health.waits(self._duty, type(error).__name__)
                _log.warning("leading interrupted", duty=self._duty, **told(error))
                await asyncio.sleep(next(delays))

    async def _connect(self) -> Connection:
        idle = {"idle_session_timeout": str(int(self._settings.leader_idle_seconds * 1000))}
        return await asyncpg.connect(
            plain_url(self._settings.database_url),
            server_settings=server_settings(self._settings, read_only=False) | idle,
            timeout=_CONNECT_SECONDS,
            command_timeout=self._settings.statement_timeout_seconds + 5,
        )

    async def _compete(self, connection: Connection) -> None:
        number = lock_number(self._settings.SERVICE, self._duty)
        while not await connection.fetchval(_LOCK, number):
            self._health.waits(self._duty, None)  # somebody else does it
            await asyncio.sleep(self._settings.leader_seconds)
        self._leads(state=True)
        await self._lead(connection)

    def _leads(self, *, state: bool) -> None:
        self.leading = state
        metrics.LEADING.labels(self._duty).set(int(state))


async def lead_relay(
    connection: Connection, relay: Relay, settings: RuntimeSettings, health: Health
) -> None:
    """Carries the outbox at every wake-up, and sweeps in between for what a crash left."""
    channel = relay_channel(settings.SERVICE)

    def notified(*_details: object) -> None:
        relay.wake()

    # All that is written here is the deletion of what was carried: see `outbox`.
    await connection.execute("SET synchronous_commit = off")
    await connection.add_listener(channel, notified)
    try:
        while True:
            metrics.RELAYED.inc(await relay.drain(connection))
            health.waits(RELAY, None)
            await relay.wait(settings.relay_sweep_seconds)
    finally:
        if not connection.is_closed():
            await connection.remove_listener(channel, notified)
