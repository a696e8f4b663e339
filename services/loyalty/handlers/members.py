"""Reads a member as of now, without writing what the clock owes."""

from datetime import datetime

from services.loyalty.domain.membership import Standing, standing
from services.loyalty.domain.program import Program
from services.loyalty.handlers.opening import open_books
from services.loyalty.store.loading import Driver
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
