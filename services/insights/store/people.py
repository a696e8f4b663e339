"""The SQL of sums over people, kept so that the overview need not go through all of them.

Who writes facts only notes whom to count anew, and waits for nobody. The job `recount` takes the
notes off, compares what those people stand for with what was counted of them, and moves the sums. A
reader adds what is noted and not yet counted, in the same way; so what it reads is exact at once.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, TypeAlias

import asyncpg

from services.insights.domain.people import Group, Person, Standing, Sums, moved
from shared.ids import CustomerId

Driver: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

# Not a lock of a table, which would keep autovacuum from it.
_ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(hashtextextended('insights.people', 0))"
_NOTE = "INSERT INTO recounts (customer_id) SELECT unnest($1::text[])"
_NOTED = """
SELECT DISTINCT customer_id FROM (SELECT customer_id FROM recounts ORDER BY serial LIMIT $1)
"""
# A reader adds no more than these. Only where the job is far behind are there more, and then the
# overview is behind by a little rather than late.
_PENDING_MAX = 10_000
_TAKE = """
DELETE FROM recounts WHERE serial IN (SELECT serial FROM recounts ORDER BY serial LIMIT $1)
RETURNING customer_id
"""
# Those who may have changed: the ids, and who stands for them now. Who stood for them before is
# among the ids, since a merge or its undoing notes everybody who was or is connected.
_AFFECTED = """
SELECT unnest($1::text[]) UNION SELECT root_id FROM merges WHERE absorbed_id = ANY($1::text[])
"""
_COLUMNS = (
    "customer_id, first_seen_on, band, segment, lifecycle, currency, risk, clv_historic, "
    "clv_predicted, tier"
)
_COUNTED = f"SELECT {_COLUMNS} FROM people WHERE customer_id = ANY($1::text[])"  # noqa: S608
# Nobody who is absorbed, nor anybody of whom nothing is known.
NOW = """
SELECT one.id, (first.seen_at AT TIME ZONE 'UTC')::date AS first_seen_on, band, segment,
  lifecycle, currency, risk, clv_historic, clv_predicted, tier
FROM unnest($1::text[]) AS one (id)
LEFT JOIN merges ON merges.absorbed_id = one.id
LEFT JOIN standings ON standings.customer_id = one.id
LEFT JOIN tiers ON tiers.customer_id = one.id
CROSS JOIN LATERAL (
  SELECT min(first_seen_at) FROM customers WHERE customer_id = ANY(array(
    SELECT one.id UNION ALL SELECT absorbed_id FROM merges AS member WHERE member.root_id = one.id
  ))
) AS first (seen_at)
WHERE (merges.root_id IS NULL OR merges.root_id = one.id)
  AND (first.seen_at IS NOT NULL OR band IS NOT NULL OR tier IS NOT NULL)
"""
_SAVE = f"""
INSERT INTO people ({_COLUMNS})
SELECT * FROM unnest($1::text[], $2::date[], $3::text[], $4::text[], $5::text[], $6::text[],
                     $7::numeric[], $8::numeric[], $9::numeric[], $10::text[])
ON CONFLICT (customer_id) DO UPDATE
SET first_seen_on = excluded.first_seen_on, band = excluded.band, segment = excluded.segment,
    lifecycle = excluded.lifecycle, currency = excluded.currency, risk = excluded.risk,
    clv_historic = excluded.clv_historic, clv_predicted = excluded.clv_predicted,
    tier = excluded.tier
"""  # noqa: S608
_DROP = "DELETE FROM people WHERE customer_id = ANY($1::text[])"
_ARRIVALS = """
INSERT INTO arrivals (day, segment, people)
SELECT * FROM unnest($1::date[], $2::text[], $3::bigint[])
ON CONFLICT (day, segment) DO UPDATE SET people = arrivals.people + excluded.people
"""
_STANDINGS = """
INSERT INTO standing_sums (band, segment, lifecycle, currency, people, risk, clv_historic,
                           clv_predicted)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::numeric[],
                     $7::numeric[], $8::numeric[])
ON CONFLICT (band, segment, lifecycle, currency) DO UPDATE
SET people = standing_sums.people + excluded.people, risk = standing_sums.risk + excluded.risk,
    clv_historic = standing_sums.clv_historic + excluded.clv_historic,
    clv_predicted = standing_sums.clv_predicted + excluded.clv_predicted
"""
_TIERS = """
INSERT INTO tier_sums (tier, segment, people)
SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[])
ON CONFLICT (tier, segment) DO UPDATE SET people = tier_sums.people + excluded.people
"""
# Groups that emptied; there are few groups, and days are looked up one by one.
_EMPTIED = (
    "DELETE FROM arrivals WHERE day = ANY($1::date[]) AND people = 0",
    "DELETE FROM standing_sums WHERE people = 0",
    "DELETE FROM tier_sums WHERE people = 0",
)
STANDINGS = """
SELECT band, segment, lifecycle, currency, people, risk, clv_historic, clv_predicted
FROM standing_sums
"""
TIERS = "SELECT tier, segment, people FROM tier_sums"
# Days before the period are one sum.
ARRIVALS = """
SELECT greatest(day, $1::date - 1) AS day, segment, sum(people)::bigint FROM arrivals
WHERE day < $2::date GROUP BY 1, 2
"""


async def note(driver: Driver, customers: Iterable[CustomerId]) -> None:
    """Has these ids' people counted anew."""
    if ids := sorted(set(customers)):
        await driver.execute(_NOTE, ids)


async def recount(driver: Driver, rows_max: int) -> bool:
    """Takes some notes off and moves the sums; True when there may be more.

    One at a time: what was counted of a person must not change between being read and replaced.
    """
    await driver.execute(_ONE_AT_A_TIME)
    taken = [row["customer_id"] for row in await driver.fetch(_TAKE, rows_max)]
    if taken:
        before, after = await _states(driver, sorted(set(taken)))
        await _save(driver, before, after)
        await _move(driver, moved(before, after))
    return len(taken) == rows_max


async def pending(driver: Driver) -> Sums:
    """What the sums lack of what is noted."""
    noted = [row["customer_id"] for row in await driver.fetch(_NOTED, _PENDING_MAX)]
    return moved(*await _states(driver, noted)) if noted else Sums()


async def _states(
    driver: Driver, ids: Sequence[str]
) -> tuple[dict[CustomerId, Person], dict[CustomerId, Person]]:
    """What is counted of these people, and what they are."""
    affected = [row[0] for row in await driver.fetch(_AFFECTED, ids)]
    before = {CustomerId(key): _person(one) for key, *one in await driver.fetch(_COUNTED, affected)}
    after = {CustomerId(key): _person(one) for key, *one in await driver.fetch(NOW, affected)}
    return before, after


def _person(row: Sequence[Any]) -> Person:
    """A risk counts to nine decimals, so that what is added and taken away leaves nothing."""
    first_seen_on, *words, risk, historic, predicted, tier = row
    if words[0] is None:
        return Person(first_seen_on, None, None, tier)
    standing = Standing(1, round(Decimal(risk), 9), historic, predicted)
    return Person(first_seen_on, Group(*words), standing, tier)


def _row(customer: CustomerId, person: Person) -> tuple[Any, ...]:
    words: Sequence[str | None] = person.group or (None,) * len(Group._fields)
    sums: Sequence[Decimal | None] = person.standing[1:] if person.standing else (None,) * 3
    return customer, person.first_seen_on, *words, *sums, person.tier


async def _save(
    driver: Driver, before: Mapping[CustomerId, Person], after: Mapping[CustomerId, Person]
) -> None:
    changed = [_row(key, after[key]) for key in sorted(after) if before.get(key) != after[key]]
    if changed:
        await driver.execute(_SAVE, *_columns(changed))
    if gone := sorted(before.keys() - after.keys()):
        await driver.execute(_DROP, gone)


async def _move(driver: Driver, by: Sums) -> None:
    arrivals = [(*key, people) for key, people in by.arrivals.items() if people]
    standings = [(*key, *one) for key, one in by.standings.items() if one != Standing()]
    tiers = [(*key, people) for key, people in by.tiers.items() if people]
    if arrivals:
        await driver.execute(_ARRIVALS, *_columns(arrivals))
        await driver.execute(_EMPTIED[0], sorted({day for day, _, _ in arrivals}))
    if standings:
        await driver.execute(_STANDINGS, *_columns(standings))
        await driver.execute(_EMPTIED[1])
    if tiers:
        await driver.execute(_TIERS, *_columns(tiers))
        await driver.execute(_EMPTIED[2])


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


async def sums(driver: Driver, first: date, end: date) -> Sums:
    """All people as of now, also those not yet counted; arrivals before `end`, those of before
    `first` on the day before it."""
    by = await pending(driver)
    for day, segment, people in await driver.fetch(ARRIVALS, first, end):
        by.arrivals[day, segment] = by.arrivals.get((day, segment), 0) + people
    for band, segment, lifecycle, currency, *sum_ in await driver.fetch(STANDINGS):
        group = Group(band, segment, lifecycle, currency)
        by.standings[group] = Standing(*sum_).plus(by.standings.get(group, Standing()))
    for tier, segment, people in await driver.fetch(TIERS):
        by.tiers[tier, segment] = by.tiers.get((tier, segment), 0) + people
    return by
