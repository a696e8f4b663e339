"""The workload is the same for the same seed, and what the platform really accepts."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from statistics import mean

import pytest

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


def test_there_are_exactly_so_many_events_a_millisecond_apart() -> None:
    events = some(count=1_234)

    assert len(events) == 1_234
    assert {later.at - one.at for one, later in pairwise(events)} == {timedelta(milliseconds=1)}
    assert events[-1].at == NOON - timedelta(milliseconds=1)


def test_events_are_made_as_they_are_asked_for() -> None:
    endless = shop.happenings(seed="s", count=10**9, customers=50, until=NOON)

    assert len(list(islice(endless, 10))) == 10


def test_a_shorter_run_is_the_beginning_of_a_longer_one() -> None:
    assert [one.data for one in some(count=100)] == [one.data for one in some(count=200)][:100]


def test_every_type_has_its_share() -> None:
    found = Counter(one.type for one in some(count=30_000))

    assert sum(shop.MIX.values()) == 100
    assert found.keys() == shop.MIX.keys()
    for kind, percent in shop.MIX.items():
        assert found[kind] / 300 == pytest.approx(percent, abs=1.0), kind


def visits() -> list[list[shop.Happening]]:
    """What customers did from their arrival on; so many that hardly one comes twice."""
    found: dict[str, list[shop.Happening]] = {}
    for one in shop.happenings(seed="v", count=40_000, customers=10**7, until=NOON):
        if one.type == "session.started":
            found[one.customer_id] = [one]
        elif one.customer_id in found:
            found[one.customer_id].append(one)
    return list(found.values())


def test_a_visit_has_about_six_events_and_none_after_an_order() -> None:
    found = visits()

    # Those that are in the shop when the run ends are cut short.
    assert mean(len(one) for one in found) == pytest.approx(5.7, abs=0.4)
    assert max(len(one) for one in found) > 15
    bought = [one for one in found if any(event.type == "order.completed" for event in one)]
    assert len(bought) / len(found) == pytest.approx(4 / 11, abs=0.05)
    # But for the few to whom something else happened later, outside of a visit.
    assert mean(one[-1].type == "order.completed" for one in bought) > 0.98


def test_visits_stand_among_others_and_come_back_within_seconds() -> None:
    gaps = [
        (later.at - one.at) / timedelta(milliseconds=1)
        for visit in visits()
        for one, later in pairwise(visit)
    ]

    # 500 visitors share two of three milliseconds.
    assert mean(gaps) == pytest.approx(500 / 0.66, rel=0.1)


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
