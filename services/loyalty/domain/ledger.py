"""The decisions of the ledger: what a happening books, or why it books nothing.

Every function is given the accounts and lots as they are and answers their next values together
with the entries and allocations to append. A refusal is a value.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from services.loyalty.domain.accounts import (
    Account,
    Allocation,
    Decision,
    Entry,
    EntryKind,
    Lot,
    Postings,
    Refused,
    Why,
    lot_id,
    post,
    spending_order,
)
from services.loyalty.domain.program import RefundPolicy
from shared.ids import CustomerId, EntryId


def decide_award(
    account: Account, points: int, why: Why, *, expires_at: datetime, qualifying: bool = True
) -> Decision | Refused:
    """Points are earned. A debt is paid from them first; the rest opens a lot."""
    if points <= 0:
        return Refused("nothing_to_award", "the rule gives no points for this")
    paid = min(points, account.debt)
    opened = lot_id(why)
    moved, entry = post(
        account,
        "award",
        why,
        Postings(active=points - paid, debt=-paid, issued=-points),
        lot=opened,
        earned=points if qualifying else 0,
    )
    lot = Lot(
        opened,
        account.customer_id,
        entry.id,
        why.occurred_at,
        expires_at,
        points,
        points - paid,
        qualifying=qualifying,
    )
    used = (Allocation(account.customer_id, opened, entry.id, paid),) if paid else ()
    return Decision((moved,), (entry,), (lot,), used)


def decide_reversal(
    account: Account,
    lot: Lot,
    others: Sequence[Lot],
    points: int,
    why: Why,
    *,
    policy: RefundPolicy = "debt",
) -> Decision | Refused:
    """Points of an award go back: what is left of its lot, what of it expired, then other lots.

    What was spent and cannot be taken becomes a debt, or is written off. `others` are the
    account's remaining lots; never more than the award's points are reversed.
    """
    points = min(points, lot.points - lot.reversed)
    if points <= 0:
        return Refused("nothing_to_reverse", "all points of this award went back already")
    from_lot = min(points, lot.remaining)
    from_expired = min(points - from_lot, lot.expired)
    missing = points - from_lot - from_expired
    taken = _take([one for one in others if one.id != lot.id], missing)
    from_others = sum(share for _, share in taken)
    owed = missing - from_others
    moved, entry = post(
        account,
        "reversal",
        why,
        Postings(
            active=-from_lot - from_others,
            debt=owed if policy == "debt" else 0,
            issued=points,
            expired=-from_expired,
            written_off=-owed if policy == "floor_at_zero" else 0,
        ),
        lot=lot.id,
        reverses=lot.entry_id,
        earned=-points if lot.qualifying else 0,
    )
    shrunk = replace(
        lot,
        remaining=lot.remaining - from_lot,
        expired=lot.expired - from_expired,
        reversed=lot.reversed + points,
        written_off=lot.written_off + (owed if policy == "floor_at_zero" else 0),
    )
    shares = [(lot, from_lot), *taken] if from_lot else taken
    return Decision((moved,), (entry,), (shrunk, *(_shrunk(taken))), _allocations(entry.id, shares))


def decide_redemption(
    accounts: Sequence[Account], lots: Sequence[Lot], points: int, why: Why, *, immediate: bool
) -> Decision | Refused:
    """Points are reserved, or spent at once, from the lots that expire first.

    `accounts` are those of all ids of one person; each gets an entry of its own for its share, in
    the order of ids. What one id owes is kept back from what another has.
    """
    spendable = max(0, sum(one.active for one in accounts) - sum(one.debt for one in accounts))
    if points > spendable or points <= 0:
        return Refused(
            "insufficient_points", f"{points} points asked, {spendable} available", spendable
        )
    kind: EntryKind = "redeem" if immediate else "reserve"
    taken = _take(lots, points)
    moved: list[Account] = []
    entries: list[Entry] = []
    allocations: list[Allocation] = []
    for account in sorted(accounts, key=lambda one: one.customer_id):
        shares = [(lot, n) for lot, n in taken if lot.customer_id == account.customer_id]
        if not shares:
            continue
        total = sum(share for _, share in shares)
        postings = Postings(
            active=-total,
            reserved=0 if immediate else total,
            redeemed=total if immediate else 0,
        )
        after, entry = post(account, kind, why, postings, ordinal=len(entries))
        moved.append(after)
        entries.append(entry)
        allocations.extend(_allocations(entry.id, shares))
    return Decision(tuple(moved), tuple(entries), _shrunk(taken), tuple(allocations))


def decide_capture(
    accounts: Sequence[Account], reserved: Mapping[CustomerId, int], why: Why
) -> Decision:
    """Reserved points are spent for good. `reserved` tells how many of each id's."""
    moved: list[Account] = []
    entries: list[Entry] = []
    for account in sorted(accounts, key=lambda one: one.customer_id):
        total = reserved.get(account.customer_id, 0)
        if total:
            after, entry = post(
                account,
                "capture",
                why,
                Postings(reserved=-total, redeemed=total),
                ordinal=len(entries),
            )
            moved.append(after)
            entries.append(entry)
    return Decision(tuple(moved), tuple(entries))


def decide_release(
    accounts: Sequence[Account],
    lots: Sequence[Lot],
    taken: Sequence[Allocation],
    why: Why,
    *,
    at: datetime,
) -> Decision:
    """Reserved points go back to their lots with their old expiry, after a debt is paid.

    What went back with its order meanwhile is no gift: a write-off of it is undone first. Points
    of lots that expired meanwhile are lost in the same entry, but for those that their own
    reversal waits for: nothing of them was spent, so nothing of them may stay owed.
    """
    by_id = {lot.id: lot for lot in lots}
    moved: list[Account] = []
    entries: list[Entry] = []
    changed: list[Lot] = []
    allocations: list[Allocation] = []
    for account in sorted(accounts, key=lambda one: one.customer_id):
        mine = [one for one in taken if one.customer_id == account.customer_id]
        if not mine:
            continue
        part = _give_back(
            account, [(by_id[one.lot_id], one.points) for one in mine], why, at, len(entries)
        )
        moved.extend(part.accounts)
        entries.extend(part.entries)
        changed.extend(part.lots)
        allocations.extend(part.allocations)
    return Decision(tuple(moved), tuple(entries), tuple(changed), tuple(allocations))


def decide_expiry(account: Account, lot: Lot, booked_at: datetime) -> Decision | Refused:
    """What remains of a lot is lost. It counts as of the lot's own end, whenever it is noticed."""
    if lot.remaining <= 0:
        return Refused("nothing_to_expire", "nothing remains of this lot")
    why = Why(f"expiry:{lot.id}", lot.expires_at, booked_at, "points reached the end of their life")
    moved, entry = post(
        account,
        "expiry",
        why,
        Postings(active=-lot.remaining, expired=lot.remaining),
        lot=lot.id,
    )
    used = Allocation(account.customer_id, lot.id, entry.id, lot.remaining)
    spent = replace(lot, remaining=0, expired=lot.expired + lot.remaining)
    return Decision((moved,), (entry,), (spent,), (used,))


def _take(lots: Sequence[Lot], points: int) -> list[tuple[Lot, int]]:
    """How many points of which lots, in spending order, up to `points`."""
    taken: list[tuple[Lot, int]] = []
    for lot in spending_order(lots):
        share = min(points, lot.remaining)
        if share > 0:
            taken.append((lot, share))
            points -= share
    return taken


def _shrunk(taken: Sequence[tuple[Lot, int]]) -> tuple[Lot, ...]:
    return tuple(replace(lot, remaining=lot.remaining - share) for lot, share in taken)


def _allocations(entry: EntryId, shares: Sequence[tuple[Lot, int]]) -> tuple[Allocation, ...]:
    return tuple(Allocation(lot.customer_id, lot.id, entry, share) for lot, share in shares)


def _give_back(
    account: Account, shares: Sequence[tuple[Lot, int]], why: Why, at: datetime, ordinal: int
) -> Decision:
    debt, lost, undone, back = account.debt, 0, 0, 0
    changed: list[tuple[Lot, int]] = []
    points_of = {lot.id: points for lot, points in shares}
    for lot in spending_order([lot for lot, _ in shares]):
        dead, share = lot.is_dead(at), points_of[lot.id]
        forgiven = min(share, lot.written_off)
        share -= forgiven
        paid = min(share, debt, lot.reversed) if dead else min(share, debt)
        share -= paid
        undone, debt = undone + forgiven, debt - paid
        lost, back = (lost + share, back) if dead else (lost, back + share)
        after = replace(
            lot,
            remaining=lot.remaining + (0 if dead else share),
            expired=lot.expired + (share if dead else 0),
            written_off=lot.written_off - forgiven,
        )
        changed.append((after, 0 if dead else share))
    moved, entry = post(
        account,
        "release",
        why,
        Postings(
            active=back,
            reserved=-sum(points_of.values()),
            debt=debt - account.debt,
            expired=lost,
            written_off=undone,
        ),
        ordinal=ordinal,
    )
    returned = [(lot, -share) for lot, share in changed if share]
    return Decision(
        (moved,), (entry,), tuple(lot for lot, _ in changed), _allocations(entry.id, returned)
    )
