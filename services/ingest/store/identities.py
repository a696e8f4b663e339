"""Identities: loaded, locked where something may still change, and saved, a batch at a time.

Events move visitors, each of whom is a row to be locked. Joining or parting customers moves all
ids of theirs, so whoever does that owns the whole: nobody else admits events meanwhile.
"""

import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import date, datetime
from typing import Any, TypeAlias

import asyncpg

from services.ingest.domain.identity import Getting, Identity

Driver: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

_FIELDS = tuple(one.name for one in fields(Identity))
_COLUMNS = ", ".join(_FIELDS)
_LOCK_NUMBER = zlib.crc32(b"ingest.identities")
_SHARE = "SELECT pg_advisory_xact_lock_shared($1)"
_OWN = "SELECT pg_advisory_xact_lock($1)"
_LOAD = f"SELECT {_COLUMNS} FROM identities WHERE id = ANY($1::text[])"  # noqa: S608
_LOCK = f"{_LOAD} ORDER BY id FOR UPDATE"
_ROWS = """unnest($1::text[], $2::text[], $3::timestamptz[], $4::bool[], $5::bool[], $6::text[],
                     $7::timestamptz[], $8::text[], $9::bool[], $10::timestamptz[], $11::bool[])"""
_INSERT = f"""
INSERT INTO identities ({_COLUMNS}) SELECT * FROM {_ROWS}
ON CONFLICT DO NOTHING RETURNING id
"""  # noqa: S608
_UPDATE = f"""
UPDATE identities SET canonical_id = one.canonical_id, known = one.known,
       appeared = one.appeared, parent_id = one.parent_id, linked_at = one.linked_at,
       linked_by = one.linked_by, barred = one.barred, told_at = one.told_at,
       alias_only = one.alias_only
FROM {_ROWS} AS one ({_COLUMNS})
WHERE identities.id = one.id
"""  # noqa: S608
# Counted no further than may be.
LINKS = """
SELECT one.id, (
  SELECT count(*) FROM (
    SELECT FROM identities WHERE canonical_id = one.id AND canonical_id <> identities.id LIMIT $2
  )
) AS links FROM unnest($1::text[]) AS one (id)
"""
_MERGES = """
SELECT one.id, one.day, (
  SELECT count(*) FROM (
    SELECT FROM merges WHERE survivor_id = one.id AND through <> 'alias'
      AND made_at >= one.day AND made_at < one.day + interval '1 day' LIMIT $3
  )
) AS merges FROM unnest($1::text[], $2::timestamptz[]) AS one (id, day)
"""
_MOVES = """
SELECT one.id, one.day, (
  SELECT count(*) FROM (
    SELECT FROM merges WHERE absorbed_id = one.id AND through = 'event'
      AND made_at >= one.day AND made_at < one.day + interval '1 day' LIMIT $3
  )
) AS moves FROM unnest($1::text[], $2::timestamptz[]) AS one (id, day)
"""
_TOGETHER = f"""
SELECT {_COLUMNS} FROM identities WHERE id = $1 OR (canonical_id = $1 AND canonical_id <> id)
ORDER BY id LIMIT $2
"""  # noqa: S608
_KNOWN = f"""
SELECT {_COLUMNS} FROM identities
WHERE known AND (id = ANY($1::text[]) OR (canonical_id = ANY($1::text[]) AND canonical_id <> id))
ORDER BY id FOR UPDATE
"""  # noqa: S608
_FOLLOW = """
UPDATE identities SET canonical_id = moved.canonical_id
FROM unnest($1::text[], $2::text[]) AS moved (id, canonical_id)
WHERE identities.parent_id = moved.id AND NOT identities.known
  AND identities.canonical_id = ANY($3::text[]) AND identities.canonical_id <> identities.id
"""


async def share(driver: Driver) -> None:
    """No customers are joined or parted until this transaction ends."""
    await driver.execute(_SHARE, _LOCK_NUMBER)


async def own(driver: Driver) -> None:
    """Nobody else admits events until this transaction ends: customers may be joined or parted.

    To be asked for before any row of an identity is locked.
    """
    await driver.execute(_OWN, _LOCK_NUMBER)


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


async def update(driver: Driver, identities: Sequence[Identity]) -> None:
    await driver.execute(_UPDATE, *_arrays(identities))


async def links(driver: Driver, canonical_ids: Iterable[str], links_max: int) -> dict[str, int]:
    """How many ids lead to each of these, up to `links_max`."""
    return dict(await driver.fetch(LINKS, list(canonical_ids), links_max))


async def merges(
    driver: Driver, getting: Iterable[Getting], merges_max: int
) -> dict[tuple[str, date], int]:
    """How many ids each got on a day without an operator, up to `merges_max`."""
    wanted = sorted({(one.customer_id, one.midnight) for one in getting})
    rows = await driver.fetch(
        _MERGES, [name for name, _ in wanted], [midnight for _, midnight in wanted], merges_max
    )
    return {(row["id"], row["day"].date()): row["merges"] for row in rows}


async def moves(
    driver: Driver, moving: Iterable[tuple[str, datetime]], moves_max: int
) -> dict[tuple[str, date], int]:
    """How often events linked each of these visitors on a day, given by its midnight, up to
    `moves_max`."""
    wanted = sorted(moving)
    rows = await driver.fetch(
        _MOVES, [name for name, _ in wanted], [midnight for _, midnight in wanted], moves_max
    )
    return {(row["id"], row["day"].date()): row["moves"] for row in rows}


async def together(driver: Driver, canonical_id: str, rows_max: int) -> list[Identity]:
    """The ids that lead to one canonical id, itself included, in the order of the ids."""
    return list(_by_id(await driver.fetch(_TOGETHER, canonical_id, rows_max)).values())


async def lock_known(driver: Driver, canonical_ids: Iterable[str]) -> dict[str, Identity]:
    """The known ids that lead to any of these, themselves included."""
    return _by_id(await driver.fetch(_KNOWN, sorted(set(canonical_ids))))


async def follow(driver: Driver, moved: Mapping[str, str], left: Iterable[str]) -> None:
    """The visitors of known ids lead where those lead now (`moved`); `left` is where they led."""
    await driver.execute(_FOLLOW, list(moved), list(moved.values()), sorted(set(left)))


def _by_id(rows: Sequence[asyncpg.Record]) -> dict[str, Identity]:
    return {row["id"]: Identity(*(row[name] for name in _FIELDS)) for row in rows}


def _arrays(identities: Sequence[Identity]) -> tuple[list[Any], ...]:
    ordered = sorted(identities, key=lambda one: one.id)
    return tuple([getattr(one, name) for one in ordered] for name in _FIELDS)
