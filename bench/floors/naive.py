"""The floor of scoring: the textbook consumer, one event, one transaction.

Select the customer, predict, upsert, move the position, commit; then send what is to be told and
wait for the broker. As durable as ours, and as exact towards the database (its position is in the
same transaction); but it does not notice a repeated event, and a crash before the send loses news.
"""

import argparse
import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import asyncpg
import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition

from bench.counter import Counter
from bench.floors.assessing import Judge, Judged, Known, order_named
from services.scoring.domain.orders import Order
from services.scoring.domain.packing import pack, pack_refunds, unpack, unpack_refunds
from services.scoring.domain.timeline import Outcome
from services.scoring.store.assessments import current_of
from shared.events.envelope import Event
from shared.events.registry import parse
from shared.events.topics import EVENTS, TOPIC_OF
from shared.events.written import Written
from shared.runtime.outbox import TYPE_HEADER

_ADVANCE = """
UPDATE consumed SET next_offset = $3 + 1 WHERE topic = $1 AND partition = $2 AND next_offset = $3
"""
_STATE = "SELECT state, as_of FROM states WHERE customer_id = $1 FOR UPDATE"
_CURRENT = "SELECT * FROM assessments WHERE customer_id = $1"
_ORDER = "SELECT * FROM purchases WHERE customer_id = $1 AND order_id = $2"
_SAVE_STATE = """
INSERT INTO states (customer_id, state, as_of, version) VALUES ($1, $2, $3, 1)
ON CONFLICT (customer_id) DO UPDATE
SET state = excluded.state, as_of = excluded.as_of, version = states.version + 1
"""
_SAVE_ORDER = """
INSERT INTO purchases
  (customer_id, order_id, placed_at, minor, currency, cancelled, refunds, refunded_minor)
VALUES ($1, $2, to_timestamp($3), $4, $5, $6, $7, $8)
ON CONFLICT (customer_id, order_id) DO UPDATE SET placed_at = excluded.placed_at,
  minor = excluded.minor, currency = excluded.currency, cancelled = excluded.cancelled,
  refunds = excluded.refunds, refunded_minor = excluded.refunded_minor
"""
_SAVE_CURRENT = """
INSERT INTO assessments (customer_id, as_of, next_review_at, churn_risk, churn_band, engagement,
  health, health_band, segment, lifecycle, clv_predicted_12m, clv_tier, positions, model)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
ON CONFLICT (customer_id) DO UPDATE SET as_of = excluded.as_of,
  next_review_at = excluded.next_review_at, churn_risk = excluded.churn_risk,
  churn_band = excluded.churn_band, engagement = excluded.engagement, health = excluded.health,
  health_band = excluded.health_band, segment = excluded.segment, lifecycle = excluded.lifecycle,
  clv_predicted_12m = excluded.clv_predicted_12m, clv_tier = excluded.clv_tier,
  positions = excluded.positions, model = excluded.model
"""
_RECORD = """
INSERT INTO assessment_history (customer_id, as_of, churn_risk, churn_band, engagement, health,
  segment, lifecycle, clv_predicted_12m, clv_tier, model, cause)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
"""


class Naive:
    """One connection, one producer, one event at a time."""

    def __init__(
        self, driver: "asyncpg.Connection[asyncpg.Record]", producer: AIOKafkaProducer
    ) -> None:
        self._driver = driver
        self._producer = producer
        self._judge = Judge()

    async def take(self, record: ConsumerRecord) -> None:
        event = _event(record)
        async with self._driver.transaction():
            moved = await self._driver.execute(
                _ADVANCE, record.topic, record.partition, record.offset
            )
            assert moved == "UPDATE 1", f"{record.topic}/{record.partition} is not ours: {moved}"
            known, orders = await self._load(event)
            before = dict(orders)
            judged = self._judge.take(event, known, orders)
            await self._save(event, known, judged)
            for name, order in orders.items():
                if before.get(name) != order:
                    await self._save_order(event, name, order)
        await self._tell(judged.news)

    async def _load(self, event: Event) -> tuple[Known, dict[str, Order]]:
        state = await self._driver.fetchrow(_STATE, event.subject)
        current = await self._driver.fetchrow(_CURRENT, event.subject)
        known = Known(
            unpack(state["state"] if state else ""),
            state["as_of"] if state else None,
            current_of(current) if current else None,
        )
        name = order_named(event)
        row = await self._driver.fetchrow(_ORDER, event.subject, name) if name else None
        return known, {} if row is None or name is None else {name: _order(row)}

    async def _save(self, event: Event, before: Known, judged: Judged) -> None:
        known = judged.known
        await self._driver.execute(_SAVE_STATE, event.subject, pack(known.state), known.as_of)
        current, old = known.current, before.current
        assert current is not None
        if judged.published or old is None or old.next_review_at != current.next_review_at:
            await self._save_current(judged.outcomes[-1], current.next_review_at)
        for outcome in judged.published:
            await self._record(outcome)

    async def _save_current(self, outcome: Outcome, review_at: object) -> None:
        at, standing = outcome.visit.as_of, outcome.step.standing
        positions = [
            [name, one.above, one.since] for name, one in sorted(standing.positions.items())
        ]
        await self._driver.execute(
            _SAVE_CURRENT, outcome.visit.customer_id, at, review_at, standing.risk, standing.band,
            standing.engagement, standing.health, standing.health_band, standing.segment,
            standing.lifecycle, standing.predicted_12m, standing.tier, json.dumps(positions),
            self._judge.rules.model.name,
        )  # fmt: skip

    async def _record(self, outcome: Outcome) -> None:
        visit, standing = outcome.visit, outcome.step.standing
        await self._driver.execute(
            _RECORD, visit.customer_id, visit.as_of, standing.risk, standing.band,
            standing.engagement, standing.health, standing.segment, standing.lifecycle,
            standing.predicted_12m, standing.tier, self._judge.rules.model.name, visit.cause,
        )  # fmt: skip

    async def _save_order(self, event: Event, name: str, order: Order) -> None:
        await self._driver.execute(
            _SAVE_ORDER, event.subject, name, order.at, order.minor, order.currency,
            order.cancelled, pack_refunds(order), order.refunded(order.currency),
        )  # fmt: skip

    async def _tell(self, news: Sequence[Written]) -> None:
        sent = [
            await self._producer.send(TOPIC_OF[one.kind].name, one.value, key=one.subject.encode())
            for one in news
        ]
        await asyncio.gather(*sent)


def _event(record: ConsumerRecord) -> Event:
    headers = dict(record.headers)
    return parse(record.value, headers[TYPE_HEADER].decode())


def _order(row: asyncpg.Record) -> Order:
    at = row["placed_at"]
    return Order(
        None if at is None else int(at.timestamp()),
        row["minor"],
        row["currency"],
        row["cancelled"],
        unpack_refunds(row["refunds"]),
    )


async def consume(database_url: str, kafka: str, counter: Counter) -> None:
    """For ever, from the positions in the database."""
    driver = await asyncpg.connect(
        database_url, server_settings={"search_path": "scoring", "jit": "off"}
    )
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka, enable_auto_commit=False)
    producer = AIOKafkaProducer(bootstrap_servers=kafka, acks="all", enable_idempotence=True)
    await producer.start()
    await consumer.start()
    rows = await driver.fetch("SELECT * FROM consumed WHERE topic = $1", EVENTS.name)
    partitions = {TopicPartition(row["topic"], row["partition"]): row for row in rows}
    consumer.assign(list(partitions))
    for partition, row in partitions.items():
        consumer.seek(partition, row["next_offset"])
    naive = Naive(driver, producer)
    async for record in consumer:
        await naive.take(record)
        counter.add()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kafka", required=True)
    parser.add_argument("--database", required=True)
    parser.add_argument("--counter", type=Path, required=True)
    told = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(consume(told.database, told.kafka, Counter(told.counter)))


if __name__ == "__main__":
    main()
