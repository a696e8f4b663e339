"""Migrated databases for tests, quickly: each service is migrated once, then copied."""

import itertools
import os
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from shared.runtime.migrate import migrate
from shared.runtime.service import Service

TEMPLATE_PREFIX = f"template_{os.getpid()}_"
_serial = itertools.count(1)
_migrated: set[tuple[str, str]] = set()
_templates: dict[tuple[str, str, str], str] = {}
_SCHEMAS = "SELECT count(*) FROM pg_namespace WHERE nspname !~ '^(pg_|information_schema|public)'"


async def prepare(database_url: str, service: Service) -> None:
    """Brings the service's schema into the database: a copy where it is empty, a migration else."""
    if (database_url, service.name) in _migrated:
        return
    _migrated.add((database_url, service.name))
    key = (urlsplit(database_url).netloc, service.name, str(service.migrations))
    empty = await _ask(database_url, _SCHEMAS) == 0
    if empty and key in _templates:
        await _copy(_templates[key], database_url)
        return
    await migrate(database_url, service.name, service.migrations)
    if empty:
        template = f"{TEMPLATE_PREFIX}{next(_serial)}"
        await _tell(database_url, f'CREATE DATABASE "{template}" TEMPLATE "{_name(database_url)}"')
        _templates[key] = template


async def _copy(template: str, database_url: str) -> None:
    name = _name(database_url)
    await _tell(
        database_url,
        f'DROP DATABASE "{name}"',
        f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY file_copy',
    )


def _name(database_url: str) -> str:
    return urlsplit(database_url).path.lstrip("/")


async def _ask(database_url: str, sql: str) -> int:
    connection = await asyncpg.connect(database_url)
    try:
        return int(await connection.fetchval(sql))
    finally:
        await connection.close()


async def _tell(database_url: str, *statements: str) -> None:
    """Statements about databases are made from another one: `postgres`."""
    server = urlunsplit(urlsplit(database_url)._replace(path="/postgres"))
    connection = await asyncpg.connect(server)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()
