"""Who was linked before merges could be undone stays linked, and can be undone."""

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

import shared.runtime
from services.ingest.main import build
from shared.runtime.db import asyncpg_url
from shared.testing.harness import running
from tests.integration.ingest.deciding import ask, do, person

_BEFORE = """
INSERT INTO identities
  (id, canonical_id, known, appeared, first_seen_at, linked_at, linked_by)
VALUES ('c', 'c', true, false, now(), NULL, NULL),
       ('v', 'c', false, true, now(), '2026-03-02T12:00:00Z', 'e-1'),
       ('w', 'c', true, true, now(), '2026-03-02T12:00:00Z', 'e-2'),
       ('x', 'x', false, true, now(), NULL, NULL)
"""


async def test_links_of_before_are_merges_that_can_be_undone(database_url: str) -> None:
    engine = create_async_engine(asyncpg_url(database_url), poolclass=NullPool)
    async with engine.connect() as connection:
        await connection.execute(sa.text("CREATE SCHEMA ingest"))
        await connection.execute(sa.text("SET search_path TO ingest"))
        await connection.run_sync(_first)
        await connection.execute(sa.text(_BEFORE))
        await connection.commit()
    await engine.dispose()

    async with running(build, database_url) as service:
        items = (await ask(service, "/customers/c/merges"))["items"]
        log = {one["absorbed_id"]: one for one in items}
        before = await person(service, "v")
        for one in log.values():
            await do(service, f"/merges/{one['id']}/undo")
        after = [await person(service, name) for name in "cvwx"]

    assert {name: (one["through"], one["event_id"]) for name, one in log.items()} == {
        "v": ("event", "e-1"),
        "w": ("alias", "e-2"),
    }
    assert before == ("c", ["c", "v", "w"])
    assert after == [(name, [name]) for name in "cvwx"]


def _first(connection: sa.Connection) -> None:
    """The schema as it was before."""
    config = Config()
    config.set_main_option("script_location", str(Path(shared.runtime.__path__[0]) / "alembic"))
    config.set_main_option("version_locations", str(build().migrations))
    config.set_main_option("path_separator", "os")
    config.attributes.update(
        connection=connection, schema="ingest", version_table="service_version"
    )
    command.upgrade(config, "ingest_0001")
