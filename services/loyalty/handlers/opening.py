"""Opens the books for some customers: people, locked accounts, and the lots a decision needs."""

from collections.abc import Callable, Collection, Iterable
from datetime import datetime

from services.loyalty.domain.accounts import Account
from services.loyalty.domain.books import Books, Happening
from services.loyalty.domain.people import People
from services.loyalty.domain.program import Program, add_months
from services.loyalty.store import loading
from services.loyalty.store.loading import Driver
from shared.events.envelope import Event
from shared.ids import CustomerId
from shared.runtime.db import Transaction


async def open_books(
    driver: Driver,
    program: Program,
    customers: Iterable[CustomerId],
    *,
    at: datetime,
    opening: Collection[CustomerId] = (),
    earliest: datetime | None = None,
    needs_all: Callable[[Account], bool] = lambda _account: True,
    locked: bool = True,
) -> Books:
    """The books of all ids of these customers, as far as needed up to the instant `at`.

    `opening` shall have an account, made now if need be. `needs_all` tells whose lots are wanted
    one and all, beside those of linked ids; of others come those past their end. `earliest` is the
    first instant that is judged, when that is before `at`.
    """
    named = {*customers, *opening}
    people = await loading.people_of(driver, named)
    everyone = _everyone(people, named)
    if locked:
        accounts = await loading.lock_accounts(driver, everyone, opening=opening)
        # Whoever links two ids holds their accounts until it commits, so only now it is sure.
        people = await loading.people_of(driver, named)
        if not _everyone(people, named) <= everyone:
            everyone = _everyone(people, named)
            accounts = await loading.lock_accounts(driver, everyone, opening=opening)
    else:
        accounts = await loading.read_accounts(driver, everyone)
    # An account without entries has no lots: all of them are here.
    booked = [one for one in accounts if one.seq]
    complete = everyone - {one.customer_id for one in booked}
    wanted = [one for one in booked if _needs_all(one, at, people) or needs_all(one)]
    rest = {one.customer_id for one in booked} - {one.customer_id for one in wanted}
    lots = await loading.due_lots(driver, sorted(rest), at) if rest else []
    if wanted:
        names = [one.customer_id for one in wanted]
        since = _since(program, wanted, min(at, earliest or at))
        lots += await loading.all_lots(driver, names, since)
        complete.update(names)
    return Books(program, people, accounts=accounts, lots=lots, complete=complete)


def happening_of(tx: Transaction, event: Event) -> Happening:
    """An event as something to be booked. Ids are unique within a source only, so both count."""
    return Happening(
        cause=f"{event.source}#{event.id}",
        event_id=event.id,
        original=event.alias or event.subject,
        subject=event.subject,
        occurred_at=event.time,
        at=tx.at(event),
    )


def _everyone(people: People, named: Iterable[CustomerId]) -> set[CustomerId]:
    return {one for customer in named for one in people.ids_of(customer)}


def _needs_all(account: Account, at: datetime, people: People) -> bool:
    due = account.review_at is not None and account.review_at <= at
    return due or len(people.ids_of(account.customer_id)) > 1


def _since(program: Program, accounts: Iterable[Account], at: datetime) -> datetime:
    """The start of the earliest tier window that may be looked at."""
    reviews = [
        due for one in accounts for due in (one.review_at, one.linked_review_at) if due is not None
    ]
    return add_months(min([at, *reviews]), -program.tier_window_months)
