"""Who was linked before merges could be undone stays linked, and can be undone; so is whom a
replica of the version before links while the new ones start."""

from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

import shared.runtime
from services.ingest.main import build
from shared.runtime.db import asyncpg_url
from shared.testing.builders import NOON
from shared.testing.harness import Running, running
from tests.integration.ingest.deciding import ask, do, person
from tests.integration.ingest.posting import seen, tell

_BEFORE = """
INSERT INTO identities
  (id, canonical_id, known, appeared, first_seen_at, linked_at, linked_by)
VALUES ('c', 'c', true, false, now(), NULL, NULL),
       ('v', 'c', false, true, now(), '2026-03-02T12:00:00Z', 'e-1'),
       ('w', 'c', true, true, now(), '2026-03-02T12:00:00Z', 'e-2'),
       ('x', 'x', false, true, now(), NULL, NULL)
"""
# The statements of the version before.
_INSERT_BEFORE = """
INSERT INTO identities (id, canonical_id, first_seen_at, known, appeared, linked_at, linked_by)
SELECT * FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::bool[], $5::bool[],
                     $6::timestamptz[], $7::text[])
ON CONFLICT DO NOTHING RETURNING id
"""
_UPDATE_BEFORE = """
UPDATE identities SET canonical_id = one.canonical_id, known = one.known,
       appeared = one.appeared, linked_at = one.linked_at, linked_by = one.linked_by
FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::bool[], $5::bool[],
            $6::timestamptz[], $7::text[])
  AS one (id, canonical_id, first_seen_at, known, appeared, linked_at, linked_by)
WHERE identities.id = one.id
"""


async def _write_before(service: Running, statement: str, *rows: tuple[Any, ...]) -> None:
    """(id, canonical id, known, event that links it)"""
    linked = [NOON if event else None for *_, event in rows]
    async with service.context.transaction() as tx:
        await tx.driver.fetch(
            statement,
            [one for one, *_ in rows],
            [canonical for _, canonical, _, _ in rows],
            [NOON for _ in rows],
            [known for _, _, known, _ in rows],
            [False for _ in rows],
            linked,
            [event for *_, event in rows],
        )


async def test_what_replicas_of_the_version_before_write_meanwhile_is_completed(
    database_url: str,
) -> None:
    async with running(build, database_url) as service:
        customer = ("c", "c", True, None)
        alone = ("y", "y", False, None)
        linked = [("v", "c", False, "e-1"), ("w", "c", False, "e-2"), ("x", "c", True, "e-3")]
        await _write_before(service, _INSERT_BEFORE, customer, alone, *linked)
        await _write_before(service, _INSERT_BEFORE, *linked)  # heard twice
        await _write_before(
            service, _UPDATE_BEFORE, ("y", "c", False, "e-4"), ("w", "c", True, "e-2")
        )
        items = (await ask(service, "/customers/c/merges"))["items"]
        log = {one["absorbed_id"]: one for one in items}
        await tell(service, seen("v", "d", occurred_at="2020-03-02T12:00:00Z"))
        before = await person(service, "v")
        for one in log.values():
            await do(service, f"/merges/{one['id']}/undo")
        after = [await person(service, name) for name in "vwxy"]

    assert len(items) == 4
    assert {name: (one["through"], one["event_id"]) for name, one in log.items()} == {
        "v": ("event", "e-1"),
        "w": ("alias", "e-2"),
        "x": ("alias", "e-3"),
        "y": ("event", "e-4"),
    }
    assert before == ("c", ["c", "v", "w", "x", "y"])
    assert after == [(name, [name]) for name in "vwxy"]


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
        mistake = await do(service, "/customers/z/aliases", 201, previous_id="v")
        await do(service, f"/merges/{mistake['merge']['id']}/undo")
        items = (await ask(service, "/customers/c/merges"))["items"]
        log = {one["absorbed_id"]: one for one in items if one["ended_at"] is None}
        # They were dated by their receipt, so what happened earlier says nothing about them.
        await tell(service, seen("v", "d", occurred_at="2020-03-02T12:00:00Z"))
        before = await person(service, "v")
        conflicts = (await ask(service, "/identity-conflicts"))["items"]
        for one in log.values():
            await do(service, f"/merges/{one['id']}/undo")
        after = [await person(service, name) for name in "cvwx"]

    assert {name: (one["through"], one["event_id"]) for name, one in log.items()} == {
        "v": ("event", "e-1"),
        "w": ("alias", "e-2"),
    }
    assert before == ("c", ["c", "v", "w"])
    assert [(one["anonymous_id"], one["customer_id"]) for one in conflicts] == [("v", "d")]
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
