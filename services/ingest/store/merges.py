"""What joins ids, and what once did: never deleted, so that an undone merge is remembered."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Literal, TypeAlias

import asyncpg

from services.ingest.domain.joining import Alias

Driver: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Through = Literal["event", "alias", "email", "phone"]
Because = Literal["undone", "corrected"]


@dataclass(frozen=True, slots=True)
class Merge:
    """One reason for two ids to be one person. `cause` is the event that told it, `made_by` the
    source of that event or the key of an operator; `digest` of a trait.

    `ended_because` is `undone`, or `corrected` where an event of an earlier time told better.
    """

    id: str
    through: Through
    absorbed_id: str
    survivor_id: str
    cause: str | None
    made_by: str
    happened_at: datetime
    made_at: datetime
    digest: bytes | None = None
    ended_at: datetime | None = None
    ended_by: str | None = None
    ended_because: Because | None = None


_FIELDS = tuple(one.name for one in fields(Merge))
_COLUMNS = ", ".join(_FIELDS)
_INSERT = f"""
INSERT INTO merges ({_COLUMNS})
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[],
                     $7::timestamptz[], $8::timestamptz[], $9::bytea[], $10::timestamptz[],
                     $11::text[], $12::text[])
"""  # noqa: S608
_END = """
UPDATE merges SET ended_at = one.ended_at, ended_by = one.ended_by, ended_because = $4
FROM unnest($1::text[], $2::timestamptz[], $3::text[]) AS one (absorbed_id, ended_at, ended_by)
WHERE merges.absorbed_id = one.absorbed_id AND merges.ended_at IS NULL AND through = 'event'
"""
_LOCK = f"SELECT {_COLUMNS} FROM merges WHERE id = $1 FOR UPDATE"  # noqa: S608
_UNDO = """
UPDATE merges SET ended_at = $2, ended_by = $3, ended_because = 'undone' WHERE id = $1
"""
_ALIASES = """
SELECT absorbed_id, survivor_id FROM merges
WHERE through = 'alias' AND ended_at IS NULL
  AND absorbed_id = ANY($1::text[]) AND survivor_id = ANY($1::text[])
"""
_BETWEEN = f"""
SELECT {_COLUMNS} FROM merges
WHERE (absorbed_id = $1 AND survivor_id = $2) OR (absorbed_id = $2 AND survivor_id = $1)
ORDER BY ended_at NULLS FIRST, made_at
"""  # noqa: S608
_ALIASED = """
SELECT unnest(ARRAY[absorbed_id, survivor_id]) AS id FROM merges
WHERE through = 'alias' AND ended_at IS NULL
  AND (absorbed_id = ANY($1::text[]) OR survivor_id = ANY($1::text[]))
"""
_LAST_LINK = f"""
SELECT {_COLUMNS} FROM merges WHERE absorbed_id = $1 AND through = 'event'
ORDER BY ended_at DESC NULLS FIRST LIMIT 1
"""  # noqa: S608
_IS_ALIAS = "SELECT EXISTS (SELECT FROM merges WHERE id = $1 AND through = 'alias')"
_IN_FORCE = f"""
SELECT {_COLUMNS} FROM merges WHERE absorbed_id = ANY($1::text[]) AND ended_at IS NULL
ORDER BY absorbed_id, made_at, id LIMIT $2
"""  # noqa: S608
_PAGE = f"""
SELECT {_COLUMNS} FROM merges
WHERE (absorbed_id = ANY($1::text[]) OR survivor_id = ANY($1::text[]))
  AND ($2::timestamptz IS NULL OR (made_at, id) < ($2, $3))
ORDER BY made_at DESC, id DESC LIMIT $4
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class End:
    """The link of a visitor is in force no more, because an event told better."""

    absorbed_id: str
    at: datetime
    by: str


async def insert(driver: Driver, merges: Sequence[Merge]) -> None:
    await driver.execute(_INSERT, *([getattr(one, name) for one in merges] for name in _FIELDS))


async def correct(driver: Driver, ends: Iterable[End]) -> None:
    """Ends the links by event that are in force of these visitors."""
    ordered = sorted(ends, key=lambda one: one.absorbed_id)
    await driver.execute(
        _END,
        [one.absorbed_id for one in ordered],
        [one.at for one in ordered],
        [one.by for one in ordered],
        "corrected",
    )


async def lock(driver: Driver, merge_id: str) -> Merge | None:
    """A merge, held until the end of the transaction."""
    row = await driver.fetchrow(_LOCK, merge_id)
    return Merge(*row) if row is not None else None


async def undo(driver: Driver, merge_id: str, at: datetime, by: str) -> None:
    await driver.execute(_UNDO, merge_id, at, by)


async def aliases(driver: Driver, ids: Collection[str]) -> list[Alias]:
    """The aliases in force that have both ends among these ids."""
    return [Alias(*row) for row in await driver.fetch(_ALIASES, list(ids))]


async def between(driver: Driver, one: str, other: str) -> list[Merge]:
    """All that ever joined these two by name, what is in force first."""
    return [Merge(*row) for row in await driver.fetch(_BETWEEN, one, other)]


async def aliased(driver: Driver, ids: Collection[str]) -> set[str]:
    """The ids that an alias in force names, among others these."""
    return {row["id"] for row in await driver.fetch(_ALIASED, list(ids))}


async def ended_by_alias(driver: Driver, visitor: str) -> Merge | None:
    """The last link by event of a visitor, where it was an alias that ended it."""
    row = await driver.fetchrow(_LAST_LINK, visitor)
    if row is None or not await driver.fetchval(_IS_ALIAS, row["ended_by"]):
        return None
    return Merge(*row)


async def in_force(driver: Driver, ids: Collection[str], rows_max: int) -> list[Merge]:
    """What joins these ids to others now, in the order of the ids."""
    return [Merge(*row) for row in await driver.fetch(_IN_FORCE, list(ids), rows_max)]


async def page(
    driver: Driver, ids: Collection[str], *, before: tuple[datetime, str] | None, rows_max: int
) -> list[Merge]:
    """Of these ids, the newest first, after a position if one is given."""
    at, merge_id = before if before is not None else (None, None)
    return [Merge(*row) for row in await driver.fetch(_PAGE, list(ids), at, merge_id, rows_max)]
