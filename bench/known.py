"""Shops with many customers: a few archetypes live through the real worker, the rest are copies."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bench import shop
from bench.sandbox import Connection, Sandbox
from bench.watching import Applied, until
from services.scoring.main import build
from shared.events.topics import EVENTS
from shared.runtime.migrate import migrate

SETTLE_SECONDS = 180.0
_COPIED = ("states", "purchases", "assessments", "assessment_history")
_COLUMNS = """
SELECT string_agg(quote_ident(column_name), ', ' ORDER BY ordinal_position)
FROM information_schema.columns
WHERE table_schema = 'scoring' AND table_name = $1 AND column_name <> 'customer_id'
  AND is_identity = 'NO'
"""
_COPY = """
INSERT INTO scoring.{table} (customer_id, {columns})
SELECT 'c-' || lpad(number::text, 7, '0'), {columns}
FROM generate_series(0, {last}) AS number
JOIN scoring.{table} AS lived
  ON lived.customer_id = 'archetype-' || lpad((number % {archetypes})::text, 3, '0')
"""
_POSITION = """
INSERT INTO scoring.consumed (topic, partition, next_offset) VALUES ($1, $2, $3)
ON CONFLICT (topic, partition) DO UPDATE SET next_offset = excluded.next_offset
"""
ARCHETYPES_DATABASE = "archetypes"


async def live(pair: Sandbox) -> None:
    """Topics, schema, and the archetypes' lives, applied by the real worker."""
    await pair.ensure_topics()
    await pair.sql(f"CREATE DATABASE {ARCHETYPES_DATABASE}")
    url = pair.postgres.url_of(ARCHETYPES_DATABASE)
    await migrate(url, "scoring", build().migrations)
    lived = shop.histories(seed="archetypes", until=shop.wall_now())
    await pair.write([shop.record_of(one) for one in lived])
    with pair.serving("scoring", "consumer", database=ARCHETYPES_DATABASE) as (child, _):
        async with pair.connected(ARCHETYPES_DATABASE) as connection:
            progress = Applied(connection, {}, child)
            await until(progress, len(lived), SETTLE_SECONDS)


async def copy(pair: Sandbox, database: str, customers: int) -> None:
    """A database of its own with that many customers, each with an archetype's past."""
    await pair.sql(f"CREATE DATABASE {database} TEMPLATE {ARCHETYPES_DATABASE}")
    async with pair.connected(database) as connection:
        for table in _COPIED:
            columns = await connection.fetchval(_COLUMNS, table)
            await connection.execute(
                _COPY.format(
                    table=table, columns=columns, last=customers - 1, archetypes=shop.ARCHETYPES
                )
            )
        await connection.execute("VACUUM ANALYZE")


@dataclass(frozen=True, slots=True)
class Segment:
    """Events on the topic that are to be applied: from `starts`, `events` of them."""

    starts: Mapping[int, int]
    events: int


async def lay_out(pair: Sandbox, *, seed: str, events: int, customers: int) -> Segment:
    """Puts fresh events of known customers on the topic, for everybody to read."""
    return await put(
        pair,
        shop.happenings(seed=seed, count=events, customers=customers, until=shop.wall_now()),
    )


async def put(pair: Sandbox, happened: Iterable[shop.Happening]) -> Segment:
    """Events at the end of the topic."""
    starts = await pair.ends(EVENTS.name)
    records = [shop.record_of(one) for one in happened]
    await pair.write(records)
    return Segment(starts, len(records))


async def place(connection: Connection, segment: Segment) -> None:
    """Lets a stopped worker begin at the segment."""
    rows = [(EVENTS.name, partition, at) for partition, at in segment.starts.items()]
    await connection.executemany(_POSITION, rows)
