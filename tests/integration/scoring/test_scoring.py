"""Scoring on a real database: from events to assessments, crossings and answers."""

from datetime import timedelta
from typing import Any

from services.scoring.main import build
from shared.clock import EventClock, ManualClock
from shared.events.campaigns import InterventionSent
from shared.events.commerce import OrderCancelled, OrderCompleted, OrderRefunded
from shared.events.engagement import (
    CustomerErased,
    CustomerMerged,
    CustomerUnmerged,
    SessionStarted,
)
from shared.events.scoring import (
    Assessment,
    AssessmentUpdated,
    LifecycleChanged,
    SegmentChanged,
    ThresholdCrossed,
)
from shared.events.support import TicketOpened
from shared.testing.builders import NOON, event
from shared.testing.harness import Running, running

PINNED = {"fit": False}


async def assessment(service: Running, customer: str) -> Assessment:
    reply = await service.client.get(
        f"/v1/customers/{customer}/assessment", headers=service.key("read")
    )
    assert reply.status_code == 200, reply.text
    return Assessment.model_validate(reply.json())


async def get(service: Running, path: str, **query: Any) -> Any:
    reply = await service.client.get(path, params=query, headers=service.key("read"))
    assert reply.status_code == 200, reply.text
    return reply.json()


async def states(service: Running) -> list[tuple[Any, ...]]:
    async with service.context.read() as session:
        rows = await session.driver.fetch(
            "SELECT customer_id, state, as_of FROM states ORDER BY customer_id"
        )
    return [tuple(row) for row in rows]


async def test_an_order_is_assessed_published_and_answered(database_url: str) -> None:
    async with running(build, database_url, settings=PINNED) as service:
        await service.feed(event(OrderCompleted, total="52.30"))
        (told,) = service.published(AssessmentUpdated)
        (segment,) = service.published(SegmentChanged)
        (lifecycle,) = service.published(LifecycleChanged)
        asked = await assessment(service, "c-1")

    assert told.data == asked
    assert asked.customer_id == "c-1"
    assert asked.as_of == NOON
    assert asked.model == "prior"
    assert asked.rfm.frequency == 1
    assert str(asked.clv.historic) == "52.30"
    assert asked.clv.interval[0] <= asked.clv.predicted_12m <= asked.clv.interval[1]
    assert (segment.data.previous, segment.data.current) == (None, "New")
    assert lifecycle.data.current == "new"


async def test_the_same_order_under_another_event_id_counts_once(database_url: str) -> None:
    async with running(build, database_url, settings=PINNED) as service:
        first = event(OrderCompleted, order_id="o-1", total="10.00")
        again = event(OrderCompleted, order_id="o-1", total="10.00", at=NOON + timedelta(days=1))
        await service.feed(first)
        await service.feed(again)
        found = await assessment(service, "c-1")

    assert found.rfm.frequency == 1
    assert str(found.clv.historic) == "10.00"


async def test_a_refund_that_overtakes_its_order_ends_in_the_same_state(
    make_database: Any,
) -> None:
    order = event(OrderCompleted, order_id="o-1", total="30.00")
    refund = event(OrderRefunded, order_id="o-1", amount="12.50", at=NOON + timedelta(hours=1))
    ended = []
    for events in ((order, refund), (refund, order)):
        async with running(build, make_database(), settings=PINNED) as service:
            for one in events:
                await service.feed(one)
            ended.append(await states(service))
            found = await assessment(service, "c-1")
            assert str(found.clv.historic) == "17.50"
    assert ended[0] == ended[1]


async def test_a_cancelled_order_never_happened(database_url: str) -> None:
    async with running(build, database_url, settings=PINNED) as service:
        await service.feed(event(OrderCompleted), event(OrderCancelled))
        found = await assessment(service, "c-1")

    assert found.rfm.frequency == 0
    assert found.lifecycle == "prospect"


async def test_silence_crosses_thresholds_with_reasons(database_url: str) -> None:
    async with running(build, database_url, clock=ManualClock(NOON), settings=PINNED) as service:
        for number in range(6):
            order = event(
                OrderCompleted, order_id=f"o-{number}", total="80.00", at=service.clock.now()
            )
            await service.feed(order)
            service.clock.advance(timedelta(days=14))
        assert service.published(ThresholdCrossed) == []
        for _ in range(20):
            service.clock.advance(timedelta(days=10))
            await service.run_job("review_due")
        crossed = service.published(ThresholdCrossed)

    assert [one.data.threshold for one in crossed] == ["churn_risk.high", "churn_risk.critical"]
    assert {one.data.direction for one in crossed} == {"up"}
    assert crossed[0].data.value >= crossed[0].data.level == 0.70
    strongest = crossed[0].data.drivers[0]
    assert strongest.signal == "recency"
    assert strongest.contribution > 0
    assert "usually every 14" in strongest.text
    assert crossed[0].data.segment == "At-Risk Valuable"
    assert crossed[0].cause is not None
    assert crossed[0].cause.startswith("review:c-1:")


async def test_an_order_brings_a_customer_back_down(database_url: str) -> None:
    async with running(build, database_url, settings=PINNED) as service:
        for number in range(4):
            at = NOON - timedelta(days=300 - 20 * number)
            await service.feed(event(OrderCompleted, order_id=f"o-{number}", at=at))
        up = service.published(ThresholdCrossed)
        await service.feed(event(OrderCompleted, order_id="o-9"))
        crossed = service.published(ThresholdCrossed)[len(up) :]
        found = await assessment(service, "c-1")

    assert [(one.data.threshold, one.data.direction) for one in crossed] == [
        ("churn_risk.high", "down"),
        ("churn_risk.critical", "down"),
    ]
    assert found.churn.band in {"low", "medium"}
    assert found.lifecycle == "won_back"


async def test_reviews_that_fell_due_are_made_before_a_late_event_is_judged(
    database_url: str,
) -> None:
    """Without any sweep: the crossing in between is told as of when it was due."""
    async with running(build, database_url, clock=EventClock(), settings=PINNED) as service:
        for number in range(5):
            at = NOON + timedelta(days=20 * number)
            await service.feed(event(OrderCompleted, order_id=f"o-{number}", at=at))
        back = NOON + timedelta(days=280)
        await service.feed(event(OrderCompleted, order_id="o-9", at=back))
        crossed = service.published(ThresholdCrossed)

    assert [(one.data.threshold, one.data.direction) for one in crossed] == [
        ("churn_risk.high", "up"),
        ("churn_risk.critical", "up"),
        ("churn_risk.high", "down"),
        ("churn_risk.critical", "down"),
    ]
    assert crossed[0].time < crossed[1].time < back == crossed[2].time


async def test_a_read_is_as_of_now_and_shows_bands_that_are_due(database_url: str) -> None:
    async with running(build, database_url, settings=PINNED) as service:
        await service.feed(event(OrderCompleted))
        fresh = await assessment(service, "c-1")
        service.clock.advance(timedelta(days=120))
        later = await assessment(service, "c-1")
        again = await assessment(service, "c-1")

    assert later.as_of == NOON + timedelta(days=120)
    assert later.churn.risk > fresh.churn.risk
    assert (fresh.churn.band, later.churn.band) == ("medium", "high")
    assert later.rfm.recency_days == 120
    assert later == again


async def test_a_merge_is_exact_and_so_is_its_undoing(database_url: str) -> None:
    async with running(build, database_url, settings=PINNED) as service:
        await service.feed(
            event(OrderCompleted, customer="c-1", order_id="o-1", total="10.00"),
            event(OrderCompleted, customer="a-1", order_id="o-2", total="25.00"),
            event(SessionStarted, customer="a-1"),
        )
        alone = await assessment(service, "c-1")
        guest = await assessment(service, "a-1")
        await service.feed(event(CustomerMerged, customer="a-1", survivor_id="c-1"))
        merged = await assessment(service, "c-1")
        by_alias = await assessment(service, "a-1")
        listed = await get(service, "/v1/customers")
        await service.feed(event(CustomerUnmerged, customer="a-1", survivor_id="c-1"))
        after = await assessment(service, "c-1")
        guest_after = await assessment(service, "a-1")
        topic = [record for record in service.log.records("scoring.assessments")]

    assert str(merged.clv.historic) == "35.00"
    assert merged.rfm.frequency == 2
    assert "visits" in merged.engagement.components
    assert by_alias == merged
    assert [one["customer_id"] for one in listed["items"]] == ["c-1"]
    assert (after, guest_after) == (alone, guest)
    assert [record.value for record in topic if record.key == b"a-1"].count(None) == 1


async def test_an_alias_that_never_had_events_belongs_to_the_subject_at_once(
    database_url: str,
) -> None:
    async with running(build, database_url, settings=PINNED) as service:
        await service.feed(event(OrderCompleted, customer="c-1", order_id="o-1"))
        await service.feed(
            event(OrderCompleted, customer="c-1", alias="a-1", order_id="o-2"),
        )
        found = await assessment(service, "a-1")
        kept = [row[0] for row in await states(service)]

    assert found.customer_id == "c-1"
    assert found.rfm.frequency == 2
    assert kept == ["a-1", "c-1"]


async def test_erasure_deletes_everything_under_all_ids(database_url: str) -> None:
    async with running(build, database_url, settings=PINNED) as service:
        await service.feed(
            event(OrderCompleted, customer="c-1", order_id="o-1"),
            event(OrderCompleted, customer="a-1", order_id="o-2"),
            event(CustomerMerged, customer="a-1", survivor_id="c-1"),
            event(OrderCompleted, customer="c-2", order_id="o-3"),
        )
        await service.feed(event(CustomerErased, customer="c-1"))
        reply = await service.client.get(
            "/v1/customers/c-1/assessment", headers=service.key("read")
        )
        left = {}
        async with service.context.read() as session:
            for table in ("states", "links", "purchases", "assessments", "assessment_history"):
                ids = await session.driver.fetch(f"SELECT DISTINCT customer_id FROM {table}")
                left[table] = [row[0] for row in ids]
        last = {record.key: record.value for record in service.log.records("scoring.assessments")}

    assert reply.status_code == 404
    assert reply.headers["content-type"] == "application/problem+json"
    assert left.pop("links") == []
    assert set(map(tuple, left.values())) == {("c-2",)}
    assert last[b"c-1"] is None
    assert last[b"c-2"] is not None


async def test_a_late_event_folds_exactly_and_time_never_goes_back(make_database: Any) -> None:
    first = event(OrderCompleted, order_id="o-1", at=NOON)
    late = event(OrderCompleted, order_id="o-0", at=NOON - timedelta(days=30))
    ended = []
    for events in ((late, first), (first, late)):
        async with running(build, make_database(), clock=EventClock(), settings=PINNED) as service:
            for one in events:
                await service.feed(one)
            ended.append((await states(service), await assessment(service, "c-1")))
    assert ended[0] == ended[1]
    assert ended[1][1].as_of == NOON
    assert ended[1][1].rfm.frequency == 2


async def test_texts_have_a_sentiment_and_sent_interventions_are_only_counted(
    database_url: str,
) -> None:
    sent: dict[str, Any] = {
        "intervention_id": "i-1",
        "journey": "win-back",
        "journey_version": 1,
        "step": "offer",
        "channel": "email",
        "reason": "churn risk is high",
    }
    async with running(build, database_url, settings=PINNED) as service:
        await service.feed(event(TicketOpened, text="This is awful, I hate it."))
        told = len(service.published(AssessmentUpdated))
        await service.feed(event(InterventionSent, **sent))
        await service.feed(event(InterventionSent, customer="c-9", **sent))
        found = await assessment(service, "c-1")
        kept = [row[0] for row in await states(service)]

    assert found.sentiment.count == 1
    assert found.sentiment.score is not None
    assert found.sentiment.score < -0.5
    assert len(service.published(AssessmentUpdated)) == told
    assert kept == ["c-1"]


async def test_amounts_of_nothing_and_of_a_trillion_stay_finite(database_url: str) -> None:
    async with running(build, database_url, settings=PINNED) as service:
        await service.feed(
            event(OrderCompleted, customer="c-0", order_id="o-0", total="0"),
            *(
                event(OrderCompleted, customer="c-1", order_id=f"o-{n}", total="999999999999.99")
                for n in range(3)
            ),
            event(OrderRefunded, customer="c-2", order_id="o-x", amount="999999999999.99"),
        )
        nothing = await assessment(service, "c-0")
        trillion = await assessment(service, "c-1")
        negative = await assessment(service, "c-2")

    assert nothing.clv.historic == 0
    assert trillion.clv.historic == 10**12 - 1
    assert trillion.clv.tier == "high"
    assert negative.clv.historic < 0
    assert service.dead() == []
