"""What happens on `ingest.events`: orders, refunds, cancellations, and who is one person."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeAlias, assert_never

from services.loyalty.domain import tiers
from services.loyalty.domain.accounts import Account
from services.loyalty.domain.books import Books, Happening
from services.loyalty.domain.desk import OrderDesk
from services.loyalty.domain.orders import Order
from services.loyalty.domain.program import Program, earned_by_order
from services.loyalty.handlers.erasure import erase_customer
from services.loyalty.handlers.opening import happening_of, open_books
from services.loyalty.store import loading, saving
from shared.events.commerce import OrderCancelled, OrderCompleted, OrderRefunded
from shared.events.engagement import CustomerErased, CustomerMerged, CustomerUnmerged
from shared.ids import CustomerId
from shared.runtime.db import Transaction

OrderEvent: TypeAlias = OrderCompleted | OrderRefunded | OrderCancelled
LinkEvent: TypeAlias = CustomerMerged | CustomerUnmerged
Told: TypeAlias = tuple[OrderEvent | LinkEvent, Happening]


async def apply(
    tx: Transaction, events: Sequence[OrderEvent | LinkEvent | CustomerErased], *, now: datetime
) -> None:
    """Books a batch. Erasures, which are rare, part it into pieces."""
    del now  # every event is judged as of its own instant, wherever its batch ends
    told: list[Told] = []
    for event in events:
        if not isinstance(event, CustomerErased):
            told.append((event, happening_of(tx, event)))
            continue
        await _book(tx, told)
        told = []
        await erase_customer(tx, event.subject)
    await _book(tx, told)


async def _book(tx: Transaction, told: Sequence[Told]) -> None:
    if not told:
        return
    program: Program = tx.resources.program
    orders, refunds = await loading.lock_orders(tx.driver, _order_ids(told))
    gains, reversible = _gains(program, told), _reversible(told, orders)
    linking = _linking(told)

    def needs_all(account: Account) -> bool:
        gain = gains.get(account.customer_id, 0)
        concerned = account.customer_id in linking or account.customer_id in reversible
        return concerned or tiers.may_rise(program, account, gain)

    books = await open_books(
        tx.driver,
        program,
        {one.customer_id for one in orders if one.customer_id is not None},
        at=max(one.at for _, one in told),
        earliest=min(one.at for _, one in told),
        # Who is linked gets an account: it is what two replicas that meet wait on.
        opening={*gains, *linking},
        needs_all=needs_all,
    )
    named = [(one.customer_id, one.lot_id) for one in orders if one.customer_id and one.lot_id]
    if named:
        books.include(await loading.lots_by_id(tx.driver, named))
    desk = OrderDesk(books, orders, refunds)
    links: dict[CustomerId, CustomerId | None] = {}
    for event, happening in told:
        if isinstance(event, CustomerMerged | CustomerUnmerged):
            links[event.subject] = _relate(books, event, happening)
        else:
            _tell(desk, event, happening)
    await saving.save_links(tx.driver, links)
    await saving.save_orders(tx.driver, desk)
    await saving.save_books(tx.driver, books)
    tx.publish_all(books.events)


def _tell(desk: OrderDesk, event: OrderEvent, happening: Happening) -> None:
    match event:
        case OrderCompleted():
            desk.completed(event, happening)
        case OrderRefunded():
            desk.refunded(event, happening)
        case OrderCancelled():
            desk.cancelled(event, happening)
        case _:
            assert_never(event)


def _relate(books: Books, event: LinkEvent, happening: Happening) -> CustomerId | None:
    """Links or parts two ids; answers who the survivor is from now on."""
    absorbed, survivor = event.subject, event.data.survivor_id
    happening = replace(happening, original=absorbed)
    if isinstance(event, CustomerMerged):
        books.relate(happening, survivor, lambda: books.people.merge(absorbed, survivor))
        return survivor
    books.relate(happening, survivor, lambda: books.people.unmerge(absorbed))
    return None


def _order_ids(told: Sequence[Told]) -> set[str]:
    return {
        event.data.order_id
        for event, _ in told
        if isinstance(event, OrderCompleted | OrderRefunded | OrderCancelled)
    }


def _linking(told: Sequence[Told]) -> set[CustomerId]:
    """Both ids of everything that links or parts two."""
    return {
        one
        for event, _ in told
        if isinstance(event, CustomerMerged | CustomerUnmerged)
        for one in (event.subject, event.data.survivor_id)
    }


def _gains(program: Program, told: Sequence[Told]) -> dict[CustomerId, int]:
    """The most points that each id can earn by this batch."""
    gains: dict[CustomerId, int] = {}
    for event, happening in told:
        if isinstance(event, OrderCompleted):
            earned = earned_by_order(program.earning_rules, event)
            points = earned.points if earned else 0
            gains[happening.original] = gains.get(happening.original, 0) + points
    return gains


def _reversible(told: Sequence[Told], orders: Sequence[Order]) -> set[CustomerId]:
    """The ids whose awards may be reversed by this batch."""
    touched = {one.order_id for one in orders if not one.has_arrived}
    touched |= {
        event.data.order_id
        for event, _ in told
        if isinstance(event, OrderRefunded | OrderCancelled)
    }
    found = {one.customer_id for one in orders if one.customer_id and one.order_id in touched}
    found |= {
        happening.original
        for event, happening in told
        if isinstance(event, OrderCompleted) and event.data.order_id in touched
    }
    return found
