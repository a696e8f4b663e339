"""Sending once: crashes around the call, retries, replicas, and the end of a process."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from email.message import EmailMessage
from typing import Any

import pytest

from shared.clock import monotonic_seconds
from shared.events.campaigns import InterventionFailed, InterventionSent, InterventionSuppressed
from shared.runtime.failpoints import FailPoint, FailPoints, Injected
from shared.testing.harness import Running
from shared.testing.memory_log import MemoryLog
from tests.integration.campaigns.conftest import (
    Start,
    crossed,
    end_leases,
    joined,
    ready_to_send,
    states,
)
from tests.integration.campaigns.mail_server import Receiver, mail_server, plain_smtp

Outbox = Callable[[], list[EmailMessage]]


@pytest.mark.parametrize(("gap", "times"), [("effect.before_call", 1), ("effect.after_call", 2)])
async def test_a_crash_around_the_call_loses_nothing_and_what_goes_out_again_can_be_told(
    start: Start, gap: Any, times: int
) -> None:
    """Between call and record nobody can know: the repetition carries the same message id."""
    receiver = Receiver()
    async with mail_server(receiver) as port, start(settings=plain_smtp(port)) as campaigns:
        await ready_to_send(campaigns)
        campaigns.failpoints.arm(gap, "error")
        with pytest.raises(Injected):
            await campaigns.run_job("send_due")
        campaigns.failpoints.disarm(gap)
        assert await states(campaigns) == ["sending"]
        await campaigns.run_job("send_due")
        assert len(receiver.messages) == times - 1, "the claim still holds"
        await end_leases(campaigns)
        await campaigns.run_job("send_due")
        (sent,) = campaigns.published(InterventionSent)
        ids = [message["Message-ID"] for message in receiver.messages]
        assert ids == [f"<{sent.data.message_id}>"] * times


async def test_the_folder_of_mail_has_a_message_once_whatever_crashes(
    campaigns: Running, outbox: Outbox
) -> None:
    await ready_to_send(campaigns)
    campaigns.failpoints.arm("effect.after_call", "error")
    with pytest.raises(Injected):
        await campaigns.run_job("send_due")
    (first,) = outbox()
    campaigns.failpoints.disarm("effect.after_call")
    await end_leases(campaigns)
    await campaigns.run_job("send_due")
    (sent,) = campaigns.published(InterventionSent)
    assert [one["Message-ID"] for one in outbox()] == [first["Message-ID"]]
    assert first["Message-ID"] == f"<{sent.data.message_id}>"


class CutAfterTheCall(FailPoints):
    """The database goes away twice just when an outcome is to be recorded."""

    def __init__(self) -> None:
        super().__init__({})
        self.called = False
        self.cuts = 0

    async def reach(self, name: FailPoint) -> None:
        self.called = self.called or name == "effect.after_call"
        if self.called and name == "request.before_commit" and self.cuts < 2:
            self.cuts += 1
            raise Injected(name)


async def test_an_outcome_is_recorded_when_the_database_comes_back(
    start: Start, outbox: Outbox
) -> None:
    failpoints = CutAfterTheCall()
    async with start(failpoints=failpoints) as campaigns:
        await ready_to_send(campaigns)
        await campaigns.run_job("send_due")
        assert await states(campaigns) == ["sent"]
        assert len(campaigns.published(InterventionSent)) == 1
    assert failpoints.cuts == 2
    assert len(outbox()) == 1


async def test_two_replicas_share_the_work_and_nobody_gets_two(start: Start) -> None:
    log, receiver = MemoryLog(), Receiver()
    async with mail_server(receiver) as port:
        settings = {"send_batch_rows": 5} | plain_smtp(port)
        async with (
            start(log=log, settings=settings) as one,
            start(log=log, replica="1", consume=False, settings=settings) as other,
        ):
            await ready_to_send(one, customers=30)

            async def work(service: Running) -> None:
                while set(await states(service)) != {"sent"}:
                    await service.run_job("send_due")

            await asyncio.gather(work(one), work(other))
            assert await states(one) == ["sent"] * 30
            assert len(one.published(InterventionSent)) == 30
    got = sorted(message["To"] for message in receiver.messages)
    assert got == sorted(f"c-{number}@example.com" for number in range(1, 31))


async def slow_and_quick(service: Running, slow: int, quick: int) -> None:
    """Customers whose mail the receiver holds back, and others."""
    names = [f"slow-{number}" for number in range(slow)]
    names += [f"c-{number}" for number in range(quick)]
    await service.feed(*(joined(name) for name in names))
    await service.feed(*(crossed(name) for name in names))


def sending(service: Running) -> "asyncio.Task[bool]":
    """One round of the job, as the process runs it."""
    job = next(one for one in service.service.jobs if one.name == "send_due")

    async def once() -> bool:
        return await job.run(service.context, service.clock.now())

    return asyncio.create_task(once())


async def until(holds: Callable[[], Any]) -> None:
    async with asyncio.timeout(20):
        while not await holds():
            await asyncio.sleep(0.005)


async def test_what_ended_is_recorded_while_a_slow_call_goes_on(start: Start) -> None:
    receiver = Receiver()
    async with mail_server(receiver) as port, start(settings=plain_smtp(port)) as campaigns:
        await slow_and_quick(campaigns, 1, 3)

        async def recorded() -> bool:
            return (await states(campaigns)).count("sent") == 3

        task = sending(campaigns)
        await until(recorded)
        assert (await states(campaigns)).count("sending") == 1
        receiver.released.set()
        await task
        assert await states(campaigns) == ["sent"] * 4


async def test_when_told_to_stop_calls_under_way_are_recorded_and_no_other_begins(
    start: Start,
) -> None:
    receiver = Receiver()
    settings = {"sends_at_once": 2, "drain_seconds": 40.0}
    async with (
        mail_server(receiver) as port,
        start(settings=settings | plain_smtp(port)) as campaigns,
    ):
        await slow_and_quick(campaigns, 5, 0)

        async def both() -> bool:
            return receiver.arriving == 2

        task = sending(campaigns)
        await until(both)
        task.cancel()
        await asyncio.wait([task], timeout=0.1)
        assert not task.done(), "the server has taken neither yet"
        receiver.released.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert sorted(await states(campaigns)) == ["sending"] * 3 + ["sent"] * 2
        assert len(receiver.messages) == 2
        await end_leases(campaigns)
        await campaigns.run_job("send_due")
        assert await states(campaigns) == ["sent"] * 5
    assert len(receiver.messages) == 5, "nobody got two"


async def test_a_server_that_hangs_holds_up_the_end_of_a_process_for_so_long_only(
    start: Start,
) -> None:
    receiver = Receiver()
    async with (
        mail_server(receiver) as port,
        start(settings={"drain_seconds": 0.1} | plain_smtp(port)) as campaigns,
    ):
        await slow_and_quick(campaigns, 1, 0)

        async def arrived() -> bool:
            return receiver.arriving == 1

        task = sending(campaigns)
        await until(arrived)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await states(campaigns) == ["sending"]
        receiver.released.set()


async def test_a_slow_server_never_outlives_the_lease(start: Start) -> None:
    """Or another replica would send all of them again, while these are on their way."""
    receiver = Receiver()
    settings = {"lease_seconds": 2.0, "sends_at_once": 2, "smtp_timeout_seconds": 60.0}
    async with (
        mail_server(receiver) as port,
        start(settings=settings | plain_smtp(port)) as campaigns,
    ):
        await slow_and_quick(campaigns, 8, 0)
        began = monotonic_seconds()
        await sending(campaigns)
        assert monotonic_seconds() - began < 2.0
        async with campaigns.context.read() as session:
            rows = await session.driver.fetch(
                "SELECT reason FROM decisions WHERE outcome = 'retried'"
            )
        reasons = {row["reason"] for row in rows}
        assert len(rows) == 8
        assert reasons == {
            "the mail server is away: TimeoutError",
            "the claim grew too old before the call",
        }
        receiver.released.set()


async def test_what_cannot_be_rendered_fails_with_the_reason(campaigns: Running) -> None:
    await ready_to_send(campaigns)
    async with campaigns.context.transaction() as tx:
        await tx.driver.execute("UPDATE interventions SET template = 'gone'")
    await campaigns.run_job("send_due")
    (failed,) = campaigns.published(InterventionFailed)
    assert failed.data.reason == "there is no template 'gone'"


async def test_a_message_that_waited_too_long_is_dropped(
    campaigns: Running, outbox: Outbox
) -> None:
    await ready_to_send(campaigns)
    campaigns.clock.advance(timedelta(hours=72))
    await campaigns.run_job("send_due")
    assert outbox() == []
    assert [one.data.rule for one in campaigns.published(InterventionSuppressed)] == ["stale"]
