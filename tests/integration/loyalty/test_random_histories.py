"""Random histories, handed to the handlers in random batches, end in the very books that a ledger
in memory keeps, which sees everything whole and one by one: whatever part of it was loaded."""

import random
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.loyalty.domain.accounts import Account
from services.loyalty.domain.books import Happening
from services.loyalty.domain.redemptions import Redemption
from services.loyalty.handlers import awards, clock, orders, redemptions
from services.loyalty.handlers.awards import Gift
from services.loyalty.main import build
from services.loyalty.store import auditing, loading
from shared.clock import EventClock
from shared.events.commerce import OrderCancelled, OrderCompleted, OrderRefunded
from shared.events.engagement import CustomerMerged, CustomerUnmerged
from shared.events.envelope import Event
from shared.events.loyalty import (
    PointsAwarded,
    PointsExpired,
    PointsRedeemed,
    PointsReleased,
    PointsReversed,
    TierChanged,
)
from shared.ids import CustomerId
from shared.testing.builders import NOON, event
from shared.testing.harness import Running, running
from tests.unit.loyalty.ledger_in_memory import Ledger

IDS = tuple(CustomerId(f"c-{n}") for n in range(4))
TOLD = (PointsAwarded, PointsExpired, PointsRedeemed, PointsReleased, PointsReversed, TierChanged)
OrderEvents = OrderCompleted | OrderRefunded | OrderCancelled
STEPS = 120
LONG = timedelta(days=9_000)
_ENTRIES = """
SELECT id::text, customer_id, seq, kind, cause, lot_id::text, reverses::text, occurred_at,
    active, reserved, debt, issued, expired, redeemed, written_off, active_after,
    reserved_after, debt_after
FROM entries ORDER BY customer_id, seq
"""
_ALLOCATIONS = "SELECT customer_id, lot_id::text, entry_id::text, points FROM lot_allocations"


class CrashError(Exception):
    """The process dies before the commit."""


@dataclass
class Life:
    """What happens, told to the service in batches and to the ledger in memory at once."""

    service: Running
    ledger: Ledger
    dice: random.Random
    now: datetime = NOON
    batch: list[Any] = field(default_factory=list)
    seen: list[Event] = field(default_factory=list)

    async def step(self, number: int) -> None:
        self.now += timedelta(days=self.dice.choice([0, 0, 0, 1, 5, 40]))
        self.service.clock.observe(self.now)
        roll = self.dice.random()
        if roll < 0.75:
            self.tell(self.event(roll, number))
            if self.dice.random() < 0.2:
                await self.end_batch()
            return
        await self.end_batch()
        if roll < 0.95:
            await self.ask(number)
        else:
            await self.jobs()

    def event(self, roll: float, number: int) -> Event:
        who, other = self.dice.choice(IDS), self.dice.choice(IDS)
        order = f"o-{self.dice.randrange(max(0, number - 20), number + 3)}"
        if roll < 0.4:
            total = self.dice.choice(["0", "0.99", "90.5", "400", "700", "1100", "4200"])
            name = self.dice.choice([f"o-{number}", f"o-{number}", order])
            return event(OrderCompleted, customer=who, order_id=name, total=total, at=self.now)
        if roll < 0.55:
            amount = self.dice.choice(["0.01", "33.33", "250", "5000"])
            currency = self.dice.choice(["GBP"] * 9 + ["JPY"])
            refund = f"r-{self.dice.randrange(number + 1)}"
            return event(
                OrderRefunded,
                customer=who,
                order_id=order,
                refund_id=refund,
                amount=amount,
                currency=currency,
                at=self.now,
            )
        if roll < 0.59:
            return event(OrderCancelled, customer=who, order_id=order, at=self.now)
        if roll < 0.66 and self.seen:
            again = self.dice.choice(self.seen)
            # A link that is told late is judged as of its own time, before what a job has booked.
            late = {} if isinstance(again, OrderEvents) else {"time": self.now}
            return again.model_copy(update={"id": f"{again.id}-{number}", **late})
        kind = CustomerMerged if roll < 0.72 else CustomerUnmerged
        return event(kind, customer=who, survivor_id=other, at=self.now)

    def tell(self, one: Event) -> None:
        self.seen.append(one)
        self.batch.append(one)
        if isinstance(one, CustomerMerged | CustomerUnmerged):
            self.ledger.relate(one)
        else:
            self.ledger.handle(one)

    async def end_batch(self) -> None:
        """Sometimes after a crash on the way: what was not committed comes again."""
        batch, self.batch = self.batch, []
        if self.dice.random() < 0.2:
            with pytest.raises(CrashError):
                await self.apply(batch, crashes=True)
        await self.apply(batch)

    async def apply(self, batch: list[Any], *, crashes: bool = False) -> None:
        async with self.service.context.transaction() as tx:
            await orders.apply(tx, batch, now=self.now)
            if crashes:
                raise CrashError

    async def ask(self, number: int) -> None:
        what = self.dice.choice(["gift", "reserve", "redeem", "settle", "settle"])
        who, name = self.dice.choice(IDS), f"x-{number}"
        if what == "gift":
            await self.give(who, name)
        elif what == "settle":
            await self.settle()
        else:
            await self.redeem(who, name, LONG if what == "reserve" else None)

    async def give(self, who: CustomerId, name: str) -> None:
        points, qualifying = self.dice.choice([1, 50, 600]), self.dice.random() < 0.5
        gift = Gift(points, "sorry", qualifying, None)
        async with self.service.context.transaction() as tx:
            await awards.award(tx, who, name, gift, now=self.now)
        books, cause = self.ledger.books(), f"request:award:{name}"
        books.catch_up(who, self.now)
        told = Happening(cause, cause, who, books.people.root(who), self.now, self.now)
        books.award(told, points, told.why("sorry"), qualifying=qualifying)
        self.ledger.save(books)

    async def redeem(self, who: CustomerId, name: str, reserve: timedelta | None) -> None:
        have = sum(self.ledger.books().account(one).active for one in IDS)
        points = self.dice.randint(1, max(1, have // self.dice.choice([1, 2, 4])))
        async with self.service.context.transaction() as tx:
            made = await redemptions.redeem(
                tx, who, name, points, "spent", reserve=reserve, now=self.now
            )
        release_at = self.now + reserve if reserve else None
        enough = self.ledger.redeem(who, name, points, self.now, release_at)
        assert enough == isinstance(made, Redemption)

    async def settle(self) -> None:
        if not self.ledger.redemptions:
            return
        name = self.dice.choice(list(self.ledger.redemptions))
        to: Any = self.dice.choice(["captured", "released"])
        async with self.service.context.transaction() as tx:
            done = await redemptions.settle(tx, name, to, now=self.now)
        possible = self.ledger.settle(name, to, self.now)
        assert possible == isinstance(done, Redemption)

    async def jobs(self) -> None:
        """The ledger in memory has none: it catches up with somebody's next event only."""
        for job in (clock.expire_lots, clock.review_tiers):
            while await job(self.service.context, self.now):
                pass

    async def end(self) -> None:
        await self.end_batch()
        await self.jobs()
        self.ledger.catch_up(self.now)
        await self.service.settle()


@pytest.mark.parametrize("seed", range(6))
async def test_the_books_are_those_of_a_ledger_that_sees_everything_whole(
    database_url: str, seed: int
) -> None:
    chosen = {"lot_months": 5, "tier_window_months": 4}
    async with running(build, database_url, clock=EventClock(), settings=chosen) as service:
        ledger = Ledger(service.context.resources.program)
        life = Life(service, ledger, random.Random(seed))
        for number in range(STEPS):
            await life.step(number)
        await life.end()
        ledger.check()
        assert _by_id(service.published(*TOLD)) == _by_id(ledger.events)
        async with service.context.read() as session:
            await compare(session.driver, ledger)


async def compare(driver: loading.Driver, ledger: Ledger) -> None:
    accounts = {one.customer_id: one for one in await loading.read_accounts(driver, IDS)}
    lots = await loading.all_lots(driver, IDS, datetime(1970, 1, 1, tzinfo=UTC))
    for one in IDS:
        stored, kept = accounts.get(one, Account(one)), ledger.accounts.get(one, Account(one))
        assert replace(stored, booked_at=None) == replace(kept, booked_at=None)
    assert {lot.id: lot for lot in lots} == ledger.lots
    entries = sorted(ledger.entries, key=lambda one: (one.customer_id, one.seq))
    assert [tuple(row) for row in await driver.fetch(_ENTRIES)] == [_row(one) for one in entries]
    taken = {(one.customer_id, one.lot_id, one.entry_id, one.points) for one in ledger.allocations}
    assert {tuple(row) for row in await driver.fetch(_ALLOCATIONS)} == taken
    result = await auditing.audit(driver, differences_max=9, seconds_max=30)
    assert result is not None
    assert [check for check in result.checks if check.differences] == []


def _by_id(events: Iterable[Event]) -> dict[str, dict[str, Any]]:
    """What they tell. When a lot's end was noticed is the one thing that a job may change."""
    return {one.id: one.model_dump(exclude={"recordedtime"}) for one in events}


def _row(entry: Any) -> tuple[Any, ...]:
    moved = entry.postings
    return (
        entry.id,
        entry.customer_id,
        entry.seq,
        entry.kind,
        entry.why.cause,
        entry.lot_id,
        entry.reverses,
        entry.why.occurred_at,
        moved.active,
        moved.reserved,
        moved.debt,
        moved.issued,
        moved.expired,
        moved.redeemed,
        moved.written_off,
        entry.active_after,
        entry.reserved_after,
        entry.debt_after,
    )
