"""A ledger kept in dictionaries, loaded and saved like the real one, for tests of decisions."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from services.loyalty.domain.accounts import Account, Allocation, Entry, Lot, Refused
from services.loyalty.domain.books import Books, Happening
from services.loyalty.domain.desk import OrderDesk
from services.loyalty.domain.orders import Order, Refund
from services.loyalty.domain.people import People
from services.loyalty.domain.program import Program
from services.loyalty.domain.redemptions import Redemption, redeem, settle
from shared.events.commerce import OrderCancelled, OrderCompleted, OrderRefunded
from shared.events.engagement import CustomerMerged, CustomerUnmerged
from shared.events.envelope import Event
from shared.ids import CustomerId, LotId


@dataclass
class Ledger:
    """What the tables hold. Everything is at hand: nothing is loaded in part."""

    program: Program = field(default_factory=Program)
    accounts: dict[CustomerId, Account] = field(default_factory=dict)
    lots: dict[LotId, Lot] = field(default_factory=dict)
    orders: dict[str, Order] = field(default_factory=dict)
    refunds: dict[tuple[str, str], Refund] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    allocations: list[Allocation] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    people: People = field(default_factory=People)
    redemptions: dict[str, Redemption] = field(default_factory=dict)

    def books(self) -> Books:
        return Books(
            self.program,
            self.people,
            accounts=self.accounts.values(),
            lots=self.lots.values(),
            complete={*self.accounts, *(CustomerId(f"c-{n}") for n in range(10))},
        )

    def handle(self, *events: Event, at: datetime | None = None) -> list[str]:
        """Books order events as one batch; answers the outcomes."""
        books = self.books()
        desk = OrderDesk(books, self.orders.values(), list(self.refunds.values()))
        outcomes = [_book(desk, one, at or one.time) for one in events]
        self.orders.update(desk.orders)
        self.refunds.update(
            {
                (one.order_id, one.refund_id): one
                for by in desk.refunds.values()
                for one in by.values()
            }
        )
        self.save(books)
        return outcomes

    def relate(self, event: CustomerMerged | CustomerUnmerged) -> None:
        """Links or parts two ids."""
        books, one, other = self.books(), event.subject, event.data.survivor_id
        told = replace(happening(event, event.time), original=one)
        if isinstance(event, CustomerMerged):
            books.relate(told, other, lambda: self.people.merge(one, other))
        else:
            books.relate(told, other, lambda: self.people.unmerge(one))
        self.save(books)

    def redeem(
        self, who: CustomerId, name: str, points: int, now: datetime, release_at: datetime | None
    ) -> bool:
        """Reserves or spends; answers whether there were enough."""
        books = self.books()
        made = redeem(books, who, name, points, "spent", now=now, release_at=release_at)
        if isinstance(made, Refused):
            return False
        self.redemptions[name] = made
        self.save(books)
        return True

    def settle(self, name: str, to: Literal["captured", "released"], now: datetime) -> bool:
        """Captures or releases; answers whether that was possible."""
        books, made = self.books(), self.redemptions[name]
        taken = [one for one in self.allocations if one.entry_id in made.entry_ids]
        done = settle(books, made, taken, to, now=now, reason=f"reservation {to}")
        if isinstance(done, Refused):
            return False
        self.redemptions[name] = done
        self.save(books)
        return True

    def save(self, books: Books) -> None:
        known = {entry.id for entry in self.entries}
        assert known.isdisjoint(entry.id for entry in books.entries), "a cause booked twice"
        self.accounts.update(books.accounts)
        self.lots.update(books.lots)
        self.entries += books.entries
        self.allocations += books.allocations
        self.events += books.events

    def catch_up(self, at: datetime) -> None:
        books = self.books()
        for customer in list(self.accounts):
            books.catch_up(customer, at)
        self.save(books)

    def check(self) -> None:
        """Entries, balances and lots tell the same."""
        for account in self.accounts.values():
            mine = [one for one in self.entries if one.customer_id == account.customer_id]
            lots = [one for one in self.lots.values() if one.customer_id == account.customer_id]
            for name in ("active", "reserved", "debt"):
                assert sum(getattr(one.postings, name) for one in mine) == getattr(account, name)
                _check_chain(mine, name)
            assert account.active == sum(lot.remaining for lot in lots)
            assert account.earned == sum(
                lot.points - lot.reversed for lot in lots if lot.qualifying
            )
        for lot in self.lots.values():
            used = sum(one.points for one in self.allocations if one.lot_id == lot.id)
            assert lot.remaining == lot.points - used


def _check_chain(entries: list[Entry], name: str) -> None:
    before = 0
    for number, entry in enumerate(entries, start=1):
        assert entry.seq == number
        before += getattr(entry.postings, name)
        assert getattr(entry, f"{name}_after") == before >= 0


def happening(event: Event, at: datetime) -> Happening:
    return Happening(
        f"{event.source}#{event.id}",
        event.id,
        event.alias or event.subject,
        event.subject,
        event.time,
        at,
    )


def _book(desk: OrderDesk, event: Event, at: datetime) -> str:
    if isinstance(event, OrderCompleted):
        return desk.completed(event, happening(event, at))
    if isinstance(event, OrderRefunded):
        return desk.refunded(event, happening(event, at))
    assert isinstance(event, OrderCancelled)
    return desk.cancelled(event, happening(event, at))
