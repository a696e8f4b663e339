"""A peer of scoring: Quix Streams, at least once, state in RocksDB with a changelog topic.

Per event the same fold, prediction and news as ours. A customer it has no state of yet is known
from its archetype, in memory, so that it need not read a history first: a kindness, since most of
its reads then find nothing. It keeps no assessment that anybody could ask for, and no history.
"""

import argparse
import asyncio
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias

import asyncpg
from quixstreams import Application, State

from bench import shop
from bench.counter import Counter
from bench.floors.assessing import NEWS_TOPIC, Judge, Judged, Known, order_named
from services.scoring.domain.bands import Position
from services.scoring.domain.orders import Order, Refund
from services.scoring.domain.packing import pack, unpack
from services.scoring.domain.standing import Standing
from services.scoring.store.assessments import Current, load_current
from services.scoring.store.people import load_states
from shared.events.envelope import Event
from shared.events.registry import parse
from shared.events.topics import EVENTS
from shared.ids import CustomerId
from shared.runtime.outbox import TYPE_HEADER

Kept: TypeAlias = "State[str, Any]"
# Small fetches: partitions take turns, as they do for the others.
_FETCH_BYTES = 131_072


class Peer:
    """The stateful step."""

    def __init__(self, archetypes: list[Known]) -> None:
        self._archetypes = archetypes
        self._judge = Judge()

    def take(
        self, value: bytes, _key: Any, _timestamp: int, headers: Any, state: Kept
    ) -> list[bytes]:
        """What is to be told because of one event."""
        event = parse(value, dict(headers)[TYPE_HEADER].decode())
        known = self._known(event, state)
        orders = _orders(event, state)
        before = dict(orders)
        judged = self._judge.take(event, known, orders)
        _save(state, judged, orders, before)
        return [one.value for one in judged.news]

    def _known(self, event: Event, state: Kept) -> Known:
        kept = state.get("known")
        if kept is None:
            number = int(event.subject.rpartition("-")[2])
            return self._archetypes[number % len(self._archetypes)]
        return _unpack_known(kept)


def _orders(event: Event, state: Kept) -> dict[str, Order]:
    name = order_named(event)
    kept = state.get(f"order {name}") if name else None
    if kept is None or name is None:
        return {}
    at, minor, currency, cancelled, refunds = kept
    return {name: Order(at, minor, currency, cancelled, tuple(Refund(*one) for one in refunds))}


def _save(state: Kept, judged: Judged, orders: dict[str, Order], before: dict[str, Order]) -> None:
    state.set("known", _pack_known(judged.known))
    for name, order in orders.items():
        if before.get(name) != order:
            refunds = [[one.refund_id, one.minor, one.currency] for one in order.refunds]
            kept = [order.at, order.minor, order.currency, order.cancelled, refunds]
            state.set(f"order {name}", kept)


def _pack_known(known: Known) -> list[Any]:
    assert known.as_of is not None
    assert known.current is not None
    current, standing = known.current, known.current.standing
    review_at = current.next_review_at
    return [
        pack(known.state), known.as_of.isoformat(), current.as_of.isoformat(),
        review_at.isoformat() if review_at else None, current.model,
        standing.band, standing.health_band, standing.segment, standing.lifecycle, standing.tier,
        standing.risk, standing.engagement, standing.health, standing.predicted_12m,
        {name: [one.above, one.since] for name, one in standing.positions.items()},
    ]  # fmt: skip


def _unpack_known(kept: list[Any]) -> Known:
    state, as_of, assessed_at, review_at, model, *figures, kept_positions = kept
    positions = {name: Position(*one) for name, one in kept_positions.items()}
    band, health_band, segment, lifecycle, tier, risk, engagement, health, value = figures
    standing = Standing(
        band, health_band, segment, lifecycle, tier, risk, engagement, health, value, positions
    )
    return Known(
        unpack(state),
        datetime.fromisoformat(as_of),
        Current(
            standing,
            datetime.fromisoformat(assessed_at),
            datetime.fromisoformat(review_at) if review_at else None,
            model,
        ),
    )


async def load_archetypes(database_url: str) -> list[Known]:
    """The customers that all others are copies of."""
    driver = await asyncpg.connect(database_url, server_settings={"search_path": "scoring"})
    names = [CustomerId(shop.archetype_name(number)) for number in range(shop.ARCHETYPES)]
    try:
        states = await load_states(driver, names)
        currents = await load_current(driver, names, locked=False)
    finally:
        await driver.close()
    return [Known(states[one].state, states[one].as_of, currents[one]) for one in names]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kafka", required=True)
    parser.add_argument("--database", required=True)
    parser.add_argument("--counter", type=Path, required=True)
    parser.add_argument("--group", required=True)
    parser.add_argument("--state", type=Path, required=True)
    told = parser.parse_args()
    counter = Counter(told.counter)
    application = Application(
        broker_address=told.kafka,
        consumer_group=told.group,
        state_dir=told.state,
        processing_guarantee="at-least-once",
        loglevel="WARNING",
        consumer_extra_config={"max.partition.fetch.bytes": _FETCH_BYTES},
        on_message_processed=lambda _topic, _partition, _offset: counter.add(),
    )
    source = application.topic(EVENTS.name, value_deserializer="bytes")
    target = application.topic(NEWS_TOPIC, value_serializer="bytes")
    peer = Peer(asyncio.run(load_archetypes(told.database)))
    frame = application.dataframe(source)
    frame = frame.apply(peer.take, stateful=True, metadata=True, expand=True)
    frame.to_topic(target)
    application.run()


if __name__ == "__main__":
    main()
