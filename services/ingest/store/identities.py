"""Identities: loaded, locked where something may still change, and saved, a batch at a time."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any, TypeAlias

import asyncpg

from services.ingest.domain.identity import Conflict, Identity

Driver: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

_COLUMNS = "id, canonical_id, first_seen_at, known, appeared, linked_at, linked_by"
_LOAD = f"SELECT {_COLUMNS} FROM identities WHERE id = ANY($1::text[])"  # noqa: S608
_LOCK = f"{_LOAD} ORDER BY id FOR UPDATE"
_INSERT = f"""
INSERT INTO identities ({_COLUMNS})
SELECT * FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::bool[], $5::bool[],
                     $6::timestamptz[], $7::text[])
ON CONFLICT DO NOTHING RETURNING id
"""  # noqa: S608
_UPDATE = """
UPDATE identities SET canonical_id = one.canonical_id, known = one.known,
       appeared = one.appeared, linked_at = one.linked_at, linked_by = one.linked_by
FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::bool[], $5::bool[],
            $6::timestamptz[], $7::text[])
  AS one (id, canonical_id, first_seen_at, known, appeared, linked_at, linked_by)
WHERE identities.id = one.id
"""
_CONFLICTS = """
INSERT INTO identity_conflicts (anonymous_id, customer_id, kept_id, event_id, seen_at)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[])
ON CONFLICT DO NOTHING
"""
# Counted no further than may be.
LINKS = """
SELECT one.id, (
  SELECT count(*) FROM (
    SELECT FROM identities WHERE canonical_id = one.id AND canonical_id <> identities.id LIMIT $2
  )
) AS links FROM unnest($1::text[]) AS one (id)
"""
_TOGETHER = f"""
SELECT {_COLUMNS} FROM identities WHERE id = $1 OR (canonical_id = $1 AND canonical_id <> id)
ORDER BY id LIMIT $2
"""  # noqa: S608
_CONTRADICTIONS = """
SELECT anonymous_id, customer_id, kept_id, event_id, seen_at FROM identity_conflicts
WHERE anonymous_id = ANY($1::text[]) OR customer_id = ANY($1::text[])
ORDER BY anonymous_id, customer_id LIMIT $2
"""


async def load(driver: Driver, ids: Collection[str]) -> dict[str, Identity]:
    """What is known of these ids; one never seen is absent."""
    return _by_id(await driver.fetch(_LOAD, list(ids)))


async def lock(driver: Driver, ids: Iterable[str]) -> dict[str, Identity]:
    """The same, held until the end of the transaction, taken in the order of the ids."""
    return _by_id(await driver.fetch(_LOCK, sorted(ids)))


async def insert(driver: Driver, identities: Sequence[Identity]) -> set[str]:
    """Stores ids that were not there, in the order of the ids, so that two replicas never wait in
    a circle; answers which were new. Another's insertion in flight is waited for."""
    rows = await driver.fetch(_INSERT, *_arrays(identities))
    return {row["id"] for row in rows}


async def links(driver: Driver, canonical_ids: Iterable[str], links_max: int) -> dict[str, int]:
    """How many ids lead to each of these, up to `links_max`."""
    return dict(await driver.fetch(LINKS, list(canonical_ids), links_max))


async def update(driver: Driver, identities: Sequence[Identity]) -> None:
    await driver.execute(_UPDATE, *_arrays(identities))


async def keep_conflicts(driver: Driver, conflicts: Sequence[Conflict]) -> None:
    """Remembers contradictions; of the same pair of ids only the first."""
    ordered = sorted(conflicts, key=lambda one: (one.anonymous_id, one.customer_id))
    await driver.execute(
        _CONFLICTS,
        [one.anonymous_id for one in ordered],
        [one.customer_id for one in ordered],
        [one.kept_id for one in ordered],
        [one.event_id for one in ordered],
        [one.at for one in ordered],
    )


async def together(driver: Driver, canonical_id: str, rows_max: int) -> list[Identity]:
    """The ids that lead to one canonical id, itself included, in the order of the ids."""
    return list(_by_id(await driver.fetch(_TOGETHER, canonical_id, rows_max)).values())


async def contradictions(driver: Driver, ids: Collection[str], rows_max: int) -> list[Conflict]:
    """The conflicts in which one of these ids takes part."""
    rows = await driver.fetch(_CONTRADICTIONS, list(ids), rows_max)
    return [
        Conflict(
            row["anonymous_id"], row["customer_id"], row["kept_id"], row["event_id"], row["seen_at"]
        )
        for row in rows
    ]


def _by_id(rows: Sequence[asyncpg.Record]) -> dict[str, Identity]:
    return {
        row["id"]: Identity(
            row["id"],
            row["canonical_id"],
            row["first_seen_at"],
            row["known"],
            row["appeared"],
            row["linked_at"],
            row["linked_by"],
        )
        for row in rows
    }


def _arrays(identities: Sequence[Identity]) -> tuple[list[Any], ...]:
    ordered = sorted(identities, key=lambda one: one.id)
    return (
        [one.id for one in ordered],
        [one.canonical_id for one in ordered],
        [one.first_seen_at for one in ordered],
        [one.known for one in ordered],
        [one.appeared for one in ordered],
        [one.linked_at for one in ordered],
        [one.linked_by for one in ordered],
    )
