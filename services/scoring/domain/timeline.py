"""A customer's assessments in time: one after each event, and reviews that silence makes due.

What is published must follow from a customer's own events and the model, not from when they were
handled or where batches ended. So an assessment is made after each event, as of its instant, and
what the passing of time alone would have changed before that is made first, as of when it was due.
Those instants depend on the state alone: the days on which the risk will pass the entry of a band,
and the days of silence at which a stage ends. Each customer's reviews fall due at their own time of
day, so that not all of a shop's are due at midnight.
"""

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from services.scoring.domain.bands import CHURN_RISK, NOWHERE, THRESHOLDS, enter_levels
from services.scoring.domain.columns import (
    Basis,
    basis_of,
    columns_of,
    main_currency,
    row_of,
)
from services.scoring.domain.decay import DAY_SECONDS, LATEST_SECONDS
from services.scoring.domain.features import NO_WARMTH, CustomerState
from services.scoring.domain.models import Model
from services.scoring.domain.scores import days_until, score
from services.scoring.domain.stages import SILENCE_EDGES_DAYS
from services.scoring.domain.standing import Reading, Standing, Step, step
from shared.ids import CustomerId

LEVELS = enter_levels(CHURN_RISK, THRESHOLDS)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# No instant of an assessment lies beyond this, whatever a shop's clock says.
LATEST = EPOCH + timedelta(seconds=LATEST_SECONDS)
Row = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Rules:
    """What assessments depend on besides the state. `currency` is for who has no orders."""

    model: Model
    horizon_days: int
    currency: str


class Visit(NamedTuple):
    """A state to be assessed as of an instant, because of `cause`.

    A silent visit only says where time stands; its reviews are made, it is not itself assessed.
    `ordinal` tells apart several customers assessed for one cause; a fresh one starts anew.
    """

    customer_id: CustomerId
    state: CustomerState
    as_of: datetime
    cause: str
    recorded_at: datetime
    ordinal: int = 0
    silent: bool = False
    fresh: bool = False
    # The cause's source where that is a shop's, whose ids are unique for itself only.
    origin: str = ""
    # The customer who was merged into this one just now, and leaves it where they stood.
    absorbs: CustomerId | None = None


class Outcome(NamedTuple):
    """An assessed visit: what changed, when silence will change it next, and its row."""

    visit: Visit
    step: Step
    next_review_at: datetime | None
    currency: str
    row: Row


class _Reckoned(NamedTuple):
    """A visit with its numbers. `dues` are its reviews, in seconds since 1970."""

    visit: Visit
    currency: str
    row: Row
    reading: Reading
    dues: tuple[int, ...]


def assess(
    visits: Sequence[Visit],
    standings: Mapping[CustomerId, Standing | None],
    rules: Rules,
    recorded: Callable[[datetime], datetime],
) -> list[Outcome]:
    """Outcomes of all visits and of the reviews between them, in order.

    Visits of one customer come in order and never go back in time. `recorded` tells when a review
    that was due at an instant counts as written down.
    """
    reckoned = _with_reviews(_reckon(visits, rules), rules, recorded)
    current = dict(standings)
    outcomes = []
    for one in reckoned:
        customer = one.visit.customer_id
        if one.visit.silent:
            continue
        before = None if one.visit.fresh else current.get(customer)
        absorbed = current.pop(one.visit.absorbs, None) if one.visit.absorbs else None
        inherited = absorbed.positions if absorbed is not None else NOWHERE
        taken = step(before, one.reading, one.visit.as_of, inherited)
        current[customer] = taken.standing
        upcoming = _first_after(one.dues, one.visit.as_of)
        outcomes.append(Outcome(one.visit, taken, upcoming, one.currency, one.row))
    return outcomes


def instant(at: datetime, not_before: datetime | None) -> datetime:
    """The instant of an assessment: never before the last one, never beyond `LATEST`."""
    bounded = min(at, LATEST)
    return bounded if not_before is None else max(bounded, not_before)


def due_at(customer_id: str, day: int) -> int:
    """When a review of that day is due, in seconds since 1970: at the customer's time of day."""
    return day * DAY_SECONDS + zlib.crc32(customer_id.encode()) % DAY_SECONDS


def review_cause(customer_id: str, due: datetime) -> str:
    """What stands for the clock as the cause of a review."""
    return f"review:{customer_id}:{due.isoformat()}"


def _with_reviews(
    reckoned: Sequence[_Reckoned], rules: Rules, recorded: Callable[[datetime], datetime]
) -> list[_Reckoned]:
    """Puts in front of each visit the reviews that fell due since the customer's one before."""
    last: dict[CustomerId, _Reckoned] = {}
    due: list[tuple[int, Visit]] = []
    for index, one in enumerate(reckoned):
        before = last.get(one.visit.customer_id)
        if before is not None and not one.visit.fresh:
            due.extend((index, visit) for visit in _reviews(before, one.visit.as_of, recorded))
        last[one.visit.customer_id] = one
    if not due:
        return list(reckoned)
    reviews: dict[int, list[_Reckoned]] = {}
    for (index, _), review in zip(due, _reckon([visit for _, visit in due], rules), strict=True):
        reviews.setdefault(index, []).append(review)
    return [one for i, visit in enumerate(reckoned) for one in (*reviews.get(i, ()), visit)]


def _reviews(
    before: _Reckoned, until: datetime, recorded: Callable[[datetime], datetime]
) -> Iterable[Visit]:
    visit = before.visit
    since, end = visit.as_of.timestamp(), until.timestamp()
    for seconds in before.dues:
        if since < seconds <= end:
            due = EPOCH + timedelta(seconds=seconds)
            cause = review_cause(visit.customer_id, due)
            yield Visit(visit.customer_id, visit.state, due, cause, recorded(due))


def _first_after(dues: Sequence[int], at: datetime) -> datetime | None:
    now = at.timestamp()
    found = next((due for due in dues if due > now), None)
    return None if found is None else EPOCH + timedelta(seconds=found)


def _reckon(visits: Sequence[Visit], rules: Rules) -> list[_Reckoned]:
    """The numbers of all visits, vectorised."""
    if not visits:
        return []
    currencies, bases, rows = [], [], []
    for visit in visits:
        seconds = int(visit.as_of.timestamp())
        currency = _currency(visit.state, rules)
        basis = basis_of(visit.state, currency, seconds)
        currencies.append(currency)
        bases.append(basis)
        rows.append(row_of(visit.state, basis, seconds))
    readings, reached = _numbers(bases, rows, rules)
    dues = map(_dues, visits, bases, reached)
    return [_Reckoned(*each) for each in zip(visits, currencies, rows, readings, dues, strict=True)]


def _currency(state: CustomerState, rules: Rules) -> str:
    """The shop's own where the customer uses it, else the customer's."""
    shop = rules.model.currency
    if shop is not None and shop in state.money:
        return shop
    return main_currency(state, shop or rules.currency)


def _numbers(
    bases: Sequence[Basis], rows: Sequence[Row], rules: Rules
) -> tuple[list[Reading], list[tuple[int, ...]]]:
    """What decisions need of each row, and the days of silence that reach each level."""
    columns = columns_of(rows, len(NO_WARMTH))
    scores = score(columns, rules.model, rules.horizon_days)
    reached = days_until(columns, rules.model, rules.horizon_days, LEVELS)
    numbers = zip(
        bases,
        scores.risk.tolist(),
        scores.engagement.tolist(),
        scores.health.tolist(),
        scores.predicted_12m.tolist(),
        scores.tier.tolist(),
        strict=True,
    )
    readings = [
        Reading(basis.purchases, basis.silent, basis.gap, *others) for basis, *others in numbers
    ]
    return readings, list(zip(*(found.tolist() for found in reached), strict=True))


def _dues(visit: Visit, basis: Basis, reached: tuple[int, ...]) -> tuple[int, ...]:
    """Instants (seconds since 1970) at which silence alone can change something, ascending."""
    if basis.purchases == 0:
        return ()
    silences = {one for one in (*reached, *SILENCE_EDGES_DAYS) if one > basis.silent}
    dues = (due_at(visit.customer_id, basis.anchor + one) for one in sorted(silences))
    return tuple(due for due in dues if due < LATEST_SECONDS)
