"""Brings a service's schema up to date: the runtime's tables first, then the service's own.

Each has its own Alembic history and version table in the service's schema. An advisory lock makes
replicas that start together wait for one another.
"""

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from shared.runtime.db import asyncpg_url
from shared.runtime.leader import lock_number

_HERE = Path(__file__).parent
RUNTIME_MIGRATIONS = _HERE / "migrations"
_ENVIRONMENT = _HERE / "alembic"


async def migrate(database_url: str, schema: str, migrations: Path) -> None:
    """Runs what is missing of both histories, in one transaction each."""
    engine = create_async_engine(asyncpg_url(database_url), poolclass=NullPool)
    try:
        async with engine.connect() as connection:
            await connection.execute(
                sa.text("SELECT pg_advisory_lock(:n)"), {"n": lock_number(schema, "migrate")}
            )
            await connection.execute(sa.text(f'CREATE SCHEMA IF NOT EXISTS "{schema}"'))
            await connection.execute(sa.text(f'SET search_path TO "{schema}"'))
            await connection.commit()
            await connection.run_sync(_upgrade, schema, RUNTIME_MIGRATIONS, "runtime_version")
            await connection.commit()
            await connection.run_sync(_upgrade, schema, migrations, "service_version")
            await connection.commit()
    finally:
        await engine.dispose()


def _upgrade(connection: sa.Connection, schema: str, versions: Path, version_table: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(_ENVIRONMENT))
    config.set_main_option("version_locations", str(versions))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    config.attributes["schema"] = schema
    config.attributes["version_table"] = version_table
    command.upgrade(config, "head")
