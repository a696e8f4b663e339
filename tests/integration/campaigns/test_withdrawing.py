"""Withdrawals against sends: whatever commits first counts."""

import asyncio
from collections.abc import Callable
from email.message import EmailMessage

import pytest

from shared.events.campaigns import (
    InterventionDismissed,
    InterventionSent,
    InterventionSuppressed,
)
from shared.events.engagement import MessageComplained, MessageUnsubscribed
from shared.runtime.failpoints import Injected
from shared.testing.builders import event
from shared.testing.harness import Running
from tests.integration.campaigns.conftest import Start, end_leases, ready_to_send, states

Outbox = Callable[[], list[EmailMessage]]


async def test_a_withdrawal_before_the_claim_stops_the_message(
    campaigns: Running, outbox: Outbox
) -> None:
    await ready_to_send(campaigns)
    await campaigns.feed(event(MessageUnsubscribed, channel="email", message_id="a-newsletter"))
    await campaigns.run_job("send_due")
    assert outbox() == []
    assert [one.data.rule for one in campaigns.published(InterventionSuppressed)] == ["consent"]


async def test_a_withdrawal_after_the_claim_comes_too_late_for_that_message_only(
    campaigns: Running, outbox: Outbox
) -> None:
    await ready_to_send(campaigns)
    campaigns.failpoints.arm("effect.before_call", "sleep", 0.5)
    sending = asyncio.create_task(campaigns.run_job("send_due"))
    while await states(campaigns) != ["sending"]:
        await asyncio.sleep(0.005)
    await campaigns.feed(event(MessageComplained, message_id="m-1", channel="email"))
    await sending
    assert len(outbox()) == 1
    assert await states(campaigns) == ["sent"]


async def test_a_retry_asks_for_consent_again(campaigns: Running, outbox: Outbox) -> None:
    await ready_to_send(campaigns)
    campaigns.failpoints.arm("effect.before_call", "error")
    with pytest.raises(Injected):
        await campaigns.run_job("send_due")
    campaigns.failpoints.disarm("effect.before_call")
    await campaigns.feed(event(MessageComplained, message_id="m-1", channel="email"))
    await end_leases(campaigns)
    await campaigns.run_job("send_due")
    assert outbox() == []
    (stopped,) = campaigns.published(InterventionSuppressed)
    assert "an earlier attempt may have reached the provider" in stopped.data.reason


WATCH = """
CREATE TABLE seen (customer_id text, what text, at timestamptz);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO seen VALUES (NEW.customer_id, TG_ARGV[0], clock_timestamp());
    RETURN NEW;
END $$;
CREATE TRIGGER watch AFTER INSERT ON decisions FOR EACH ROW WHEN (NEW.outcome = 'allowed')
EXECUTE FUNCTION note('claimed');
CREATE TRIGGER watch AFTER INSERT ON consents FOR EACH ROW WHEN (NEW.origin = 'person')
EXECUTE FUNCTION note('withdrawn');
"""


async def test_nobody_is_claimed_after_their_withdrawal_however_the_two_race(
    start: Start, outbox: Outbox
) -> None:
    """Both are written under the lock on the person, so the instants of writing are in the order of
    committing."""
    async with start(settings={"send_batch_rows": 2}) as campaigns:
        await ready_to_send(campaigns, customers=30)
        async with campaigns.context.transaction() as tx:
            await tx.driver.execute(WATCH)

        async def withdraw(names: list[str]) -> None:
            for name in names:
                left = event(MessageComplained, customer=name, message_id="m", channel="email")
                await campaigns.feed(left)

        names = [f"c-{number}" for number in range(1, 31)]
        await withdraw(names[:3])
        await asyncio.gather(
            withdraw(names[3:]), campaigns.run_job("send_due"), campaigns.run_job("send_due")
        )
        await campaigns.run_job("send_due")
        async with campaigns.context.read() as session:
            rows = await session.driver.fetch("SELECT * FROM seen")
        ended = await states(campaigns)
        sent = len(campaigns.published(InterventionSent))
        suppressed = campaigns.published(InterventionSuppressed)
    claimed = {row["customer_id"]: row["at"] for row in rows if row["what"] == "claimed"}
    withdrawn = {row["customer_id"]: row["at"] for row in rows if row["what"] == "withdrawn"}
    assert set(withdrawn) == set(names)
    assert [name for name, at in claimed.items() if at > withdrawn[name]] == []
    assert len(outbox()) == ended.count("sent") == sent == len(claimed)
    assert len(suppressed) == ended.count("suppressed") == 30 - len(claimed)
    assert len(suppressed) >= 3


async def test_what_a_person_dismisses_while_it_is_being_sent_is_one_or_the_other(
    start: Start, outbox: Outbox
) -> None:
    async with start(settings={"send_batch_rows": 2}) as campaigns:
        await ready_to_send(campaigns, customers=12)
        async with campaigns.context.read() as session:
            rows = await session.driver.fetch("SELECT intervention_id FROM interventions")

        async def dismiss() -> list[int]:
            answers = []
            for row in rows:
                path = f"/v1/interventions/{row['intervention_id']}/dismiss"
                reply = await campaigns.client.post(path, headers=campaigns.key("operate"))
                answers.append(reply.status_code)
            return answers

        answers, _ = await asyncio.gather(dismiss(), campaigns.run_job("send_due"))
        await campaigns.run_job("send_due")
        ended = await states(campaigns)
        assert set(ended) <= {"sent", "dismissed"}
        assert set(answers) <= {200, 409}
        assert answers.count(200) == ended.count("dismissed")
        assert len(campaigns.published(InterventionDismissed)) == ended.count("dismissed")
        assert len(outbox()) == ended.count("sent") == len(campaigns.published(InterventionSent))
