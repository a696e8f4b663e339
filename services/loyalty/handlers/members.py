"""Reads a member as of now, without writing what the clock owes."""

from dataclasses import dataclass
from datetime import datetime

from services.loyalty.domain.membership import Standing, standing
from services.loyalty.domain.program import Program
from services.loyalty.handlers.opening import open_books
from services.loyalty.store import statements
from services.loyalty.store.loading import Driver, people_of
from services.loyalty.store.statements import Line, Position
from shared.ids import CustomerId


async def read_member(
    driver: Driver, program: Program, customer: CustomerId, now: datetime
) -> Standing | None:
    """The person whom this id belongs to; None when nothing was ever booked for them."""
    async with driver.transaction(isolation="repeatable_read", readonly=True):
        books = await open_books(driver, program, [customer], at=now, locked=False)
    if not any(account.seq for account in books.accounts.values()):
        return None
    return standing(books, customer, now)


@dataclass(frozen=True, slots=True)
class Extract:
    """Some lines of a person's ledger, the active balance before them, and whether more follow."""

    customer_id: CustomerId
    lines: list[Line]
    opening: int
    more: bool


async def read_statement(
    driver: Driver,
    customer: CustomerId,
    *,
    after: Position | None,
    since: datetime | None,
    until: datetime | None,
    limit: int,
) -> Extract | None:
    """Up to `limit` lines of one state of the ledger; None when nothing was ever booked."""
    async with driver.transaction(isolation="repeatable_read", readonly=True):
        people = await people_of(driver, [customer])
        ids = people.ids_of(customer)
        lines = await statements.lines(
            driver, ids, after=after, since=since, until=until, limit=limit + 1
        )
        if lines:
            place = (lines[0].booked_at, lines[0].customer_id, lines[0].seq)
            before = await statements.balances_before(driver, ids, place)
        elif await statements.any_line(driver, ids):
            before = await statements.balances_until(driver, ids, until)
        else:
            return None
    return Extract(people.root(customer), lines[:limit], before.active, len(lines) > limit)
