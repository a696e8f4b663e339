"""The shipped journey from crossing to conversion, on a real database."""

from collections.abc import Callable
from datetime import timedelta
from email.message import EmailMessage

from shared.clock import EventClock
from shared.events.campaigns import (
    InterventionConverted,
    InterventionPlanned,
    InterventionSent,
    InterventionSuppressed,
    JourneyEntered,
    JourneyLeft,
    TaskCreated,
    TaskDone,
)
from shared.events.commerce import OrderCompleted
from shared.events.engagement import CustomerMerged
from shared.testing.builders import NOON, event
from shared.testing.harness import Running
from tests.integration.campaigns.conftest import Start, crossed, decisions, joined

DAY = timedelta(days=1)
Outbox = Callable[[], list[EmailMessage]]


async def test_a_valuable_customer_at_risk_gets_one_offer_by_mail(
    campaigns: Running, outbox: Outbox
) -> None:
    await campaigns.feed(joined())
    await campaigns.feed(crossed())
    await campaigns.run_job("send_due")
    (message,) = outbox()
    assert message["To"] == "c-1@example.com"
    assert message["Subject"] == "Ann, 10 % off your next order"
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    (planned,) = campaigns.published(InterventionPlanned)
    (sent,) = campaigns.published(InterventionSent)
    assert sent.cause == planned.id
    assert message["Message-ID"] == f"<{sent.data.message_id}>"
    assert [one.data.reason for one in campaigns.published(JourneyEntered)] == [
        "the risk of losing a customer of high predicted value rose to 72 % (high)"
    ]


async def test_a_very_valuable_one_becomes_a_task_of_the_account_manager(
    campaigns: Running, outbox: Outbox
) -> None:
    await campaigns.feed(joined(account_manager="maria"))
    await campaigns.feed(crossed(clv_predicted_12m="25000"))
    await campaigns.run_job("send_due")
    assert outbox() == []
    (created,) = campaigns.published(TaskCreated)
    assert created.data.assignee == "maria"
    listed = await campaigns.client.get("/v1/tasks?state=open", headers=campaigns.key("read"))
    (task,) = listed.json()["items"]
    assert "25000.00 GBP" in task["title"]
    for _ in range(2):
        done = await campaigns.client.post(
            f"/v1/tasks/{task['task_id']}/done",
            json={"outcome": "reached"},
            headers=campaigns.key("operate"),
        )
        assert done.json()["state"] == "done"
    await campaigns.settle()
    assert [one.data.outcome for one in campaigns.published(TaskDone)] == ["reached"]
    assert len(campaigns.published(InterventionSent)) == 1


async def test_a_task_without_account_manager_goes_to_the_team(campaigns: Running) -> None:
    await campaigns.feed(crossed(clv_predicted_12m="25000"))
    await campaigns.run_job("send_due")
    (created,) = campaigns.published(TaskCreated)
    assert created.data.assignee == "retention-team"


async def test_without_consent_nothing_leaves_and_the_rule_is_named(
    campaigns: Running, outbox: Outbox
) -> None:
    await campaigns.feed(joined(consent=False))
    await campaigns.feed(crossed())
    await campaigns.run_job("send_due")
    assert outbox() == []
    (stopped,) = campaigns.published(InterventionSuppressed)
    assert stopped.data.rule == "consent"
    assert await decisions(campaigns) == [("entered", "entry"), ("dropped", "consent")]


async def test_consent_for_retention_can_be_implied_by_the_shop(
    start: Start, outbox: Outbox
) -> None:
    async with start(settings={"implied_retention_consent": ["email"]}) as campaigns:
        await campaigns.feed(joined("c-1", consent=False))
        await campaigns.feed(
            joined("c-2").model_copy(
                update={"data": joined("c-2").data.model_copy(update={"consent": None})}
            )
        )
        await campaigns.feed(crossed("c-1"), crossed("c-2"))
        await campaigns.run_job("send_due")
    assert [one["To"] for one in outbox()] == ["c-2@example.com"]


async def test_every_threshold_is_answered_by_a_decision(campaigns: Running) -> None:
    await campaigns.feed(joined())
    await campaigns.feed(
        crossed(direction="down"),
        crossed(churn_band="medium"),
        crossed(clv_tier="low"),
        crossed(),
        crossed(churn_band="critical"),
    )
    await campaigns.run_job("send_due")
    assert sorted(await decisions(campaigns)) == sorted(
        [
            ("not_entered", "direction"),
            ("not_entered", "risk"),
            ("not_entered", "value"),
            ("entered", "entry"),
            ("not_entered", "reentry"),
            ("allowed", "open"),
            ("sent", "delivery"),
        ]
    )


async def test_a_message_at_night_waits_for_the_customer_s_morning(
    campaigns: Running, outbox: Outbox
) -> None:
    night = NOON + timedelta(hours=14)
    campaigns.clock.set(night)
    await campaigns.feed(joined(timezone="Europe/Berlin"))
    await campaigns.feed(crossed())
    await campaigns.run_job("send_due")
    assert outbox() == []
    campaigns.clock.set(NOON.replace(hour=6, minute=59) + DAY)
    await campaigns.run_job("send_due")
    assert outbox() == []
    campaigns.clock.set(NOON.replace(hour=7) + DAY)
    await campaigns.run_job("send_due")
    assert len(outbox()) == 1
    assert [one for one in await decisions(campaigns) if one[0] == "held"] == [
        ("held", "quiet_hours")
    ]


async def test_the_cap_counts_a_person_s_messages_over_all_merged_ids(
    campaigns: Running, outbox: Outbox
) -> None:
    await campaigns.client.put(
        "/v1/policy",
        json={"caps": [{"messages": 1, "days": 2}]},
        headers=campaigns.key("admin"),
    )
    await campaigns.feed(joined("c-1"), joined("c-2"))
    await campaigns.feed(crossed("c-1"))
    await campaigns.feed(crossed("c-2"))
    await campaigns.feed(event(CustomerMerged, customer="c-2", survivor_id="c-1"))
    await campaigns.run_job("send_due")
    assert len(outbox()) == 1
    assert ("held", "cap") in await decisions(campaigns)
    campaigns.clock.advance(2 * DAY)
    await campaigns.run_job("send_due")
    assert len(outbox()) == 2


async def test_an_order_after_the_message_is_its_success_once(campaigns: Running) -> None:
    await campaigns.feed(joined())
    await campaigns.feed(crossed())
    await campaigns.run_job("send_due")
    campaigns.clock.advance(3 * DAY)
    first, second = (
        event(OrderCompleted, at=NOON + 3 * DAY, order_id=name, total="99.50")
        for name in ("o-1", "o-2")
    )
    await campaigns.feed(first, second)
    again = first.model_copy(update={"id": "told-again"})
    await campaigns.feed(again)
    (success,) = campaigns.published(InterventionConverted)
    assert success.cause == first.id
    assert str(success.data.value) == "99.50"
    assert [one.data.reason for one in campaigns.published(JourneyLeft)] == [
        "ordered again on 2026-03-05"
    ]


async def test_two_shops_may_give_their_orders_the_same_event_id(campaigns: Running) -> None:
    names = ("c-1", "c-2")
    await campaigns.feed(*(joined(name) for name in names))
    await campaigns.feed(*(crossed(name) for name in names))
    await campaigns.run_job("send_due")
    campaigns.clock.advance(DAY)
    await campaigns.feed(
        *(
            event(OrderCompleted, customer=name, id="1", source=f"/shop-of-{name}", at=NOON + DAY)
            for name in names
        )
    )
    assert len({one.id for one in campaigns.published(InterventionConverted)}) == 2
    assert len({one.id for one in campaigns.published(JourneyLeft)}) == 2


async def test_an_order_calls_off_what_was_held(campaigns: Running, outbox: Outbox) -> None:
    campaigns.clock.set(NOON + timedelta(hours=11))
    await campaigns.feed(joined())
    await campaigns.feed(crossed())
    await campaigns.run_job("send_due")
    campaigns.clock.advance(timedelta(hours=1))
    await campaigns.feed(event(OrderCompleted, at=campaigns.clock.now()))
    campaigns.clock.advance(DAY)
    await campaigns.run_job("send_due")
    assert outbox() == []
    assert [one.data.rule for one in campaigns.published(InterventionSuppressed)] == ["left"]


async def test_on_the_event_clock_an_order_seen_before_the_morning_calls_off_the_held_message(
    start: Start, outbox: Outbox
) -> None:
    """Jobs lag behind a replay: the night, the order and the morning may all be past by then."""
    night = NOON.replace(hour=22)
    async with start(clock=EventClock(NOON)) as campaigns:
        await campaigns.feed(joined())
        await campaigns.feed(crossed(at=night))
        await campaigns.feed(event(OrderCompleted, at=night + timedelta(hours=2)))
        await campaigns.feed(event(OrderCompleted, customer="c-2", at=NOON + 9 * DAY))
        await campaigns.run_job("send_due")
        assert [one.data.rule for one in campaigns.published(InterventionSuppressed)] == ["left"]
    assert outbox() == []


async def test_on_the_event_clock_a_message_recorded_late_has_its_success_too(
    start: Start, outbox: Outbox
) -> None:
    async with start(clock=EventClock(NOON)) as campaigns:
        await campaigns.feed(joined())
        await campaigns.feed(crossed())
        await campaigns.feed(event(OrderCompleted, at=NOON + 3 * DAY))
        await campaigns.run_job("send_due")
        assert len(campaigns.published(InterventionConverted)) == 1
    assert len(outbox()) == 1


async def test_the_journey_ends_when_its_time_is_over_and_may_be_entered_again_later(
    campaigns: Running,
) -> None:
    await campaigns.feed(joined())
    await campaigns.feed(crossed())
    campaigns.clock.advance(29 * DAY)
    await campaigns.run_job("wake")
    assert campaigns.published(JourneyLeft) == []
    campaigns.clock.advance(DAY)
    await campaigns.run_job("wake")
    await campaigns.run_job("wake")
    assert len(campaigns.published(JourneyLeft)) == 1
    await campaigns.feed(crossed())
    campaigns.clock.advance(30 * DAY)
    await campaigns.feed(crossed())
    assert len(campaigns.published(JourneyEntered)) == 2
    assert [one for one in await decisions(campaigns) if one[1] == "reentry"] == [
        ("not_entered", "reentry")
    ]
