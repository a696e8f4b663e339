"""The workload is the same for the same seed, and what the platform really accepts."""

from datetime import UTC, datetime

from bench import shop
from services.ingest.domain.verdict import Limits, judge
from shared.events.registry import parse
from shared.runtime.outbox import TYPE_HEADER

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def some(seed: str = "s", count: int = 500) -> list[shop.Happening]:
    return list(shop.happenings(seed=seed, count=count, customers=50, until=NOON))


def test_the_same_seed_gives_the_same_events_and_another_gives_others() -> None:
    assert some() == some()
    assert not {one.id for one in some()} & {one.id for one in some("t")}


def test_ids_are_unique_and_times_ascend_until_now() -> None:
    events = some()

    assert len({one.id for one in events}) == len(events)
    assert [one.at for one in events] == sorted(one.at for one in events)
    assert events[-1].at < NOON


def test_ingest_accepts_every_event_alone_and_in_a_batch() -> None:
    bodies = [shop.intake_body(one) for one in some()]
    batch = b'{"events":[%b]}' % b",".join(bodies)

    alone = [judge(body, Limits(), NOON, lambda: "new") for body in bodies]
    together = judge(batch, Limits(), NOON, lambda: "new")

    assert not any(one.rejected for one in alone)
    assert not together.rejected
    assert len(together.accepted) == len(bodies)


def test_records_are_what_scoring_can_read() -> None:
    for one in some():
        record = shop.record_of(one)
        event = parse(record.value or b"", dict(record.headers)[TYPE_HEADER].decode())

        assert (event.id, event.subject.encode()) == (one.id, record.key)


def test_every_archetype_has_lived() -> None:
    lived = {one.customer_id for one in shop.histories(seed="a", until=NOON)}

    assert lived == {shop.archetype_name(number) for number in range(shop.ARCHETYPES)}
