"""Two shops' systems may give the same id to different events."""

from datetime import timedelta

from services.scoring.main import build
from shared.events.commerce import OrderCompleted
from shared.events.scoring import AssessmentUpdated
from shared.testing.builders import NOON, event
from shared.testing.harness import running


async def test_equal_ids_from_two_sources_lead_to_different_assessments(database_url: str) -> None:
    first = event(OrderCompleted, id="1", source="/sources/a", order_id="o-1", total="10.00")
    second = event(
        OrderCompleted,
        id="1",
        source="/sources/b",
        order_id="o-2",
        total="900.00",
        at=NOON + timedelta(days=20),
    )
    async with running(build, database_url) as service:
        await service.feed(first)
        service.clock.advance(timedelta(days=20))
        await service.feed(second)
        # Silence in between is told too, point by point; its causes are reviews.
        told = [one for one in service.published(AssessmentUpdated) if one.cause == "1"]
        assert service.dead() == []
    assert len(told) == 2
    assert len({one.id for one in told}) == 2
