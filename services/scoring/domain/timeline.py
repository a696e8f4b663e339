"""A customer's assessments in time: one after each event, and reviews that silence makes due.

What is published must follow from a customer's own events and the model, not from when they were
handled or where batches ended. So an assessment is made after each event, as of its instant, and
what the passing of time alone would have changed before that is made first, as of when it was due.
Those instants depend on the state and the model alone: the days on which the risk passes a whole
point (of which some are the entries of bands), a stage ends, or the value leaves its tier. Each
customer's reviews fall due at their own time of day, so that not all of a shop's are due at
midnight.
"""

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from services.scoring.domain.bands import NOWHERE
from services.scoring.domain.columns import (
    Basis,
    basis_of,
    columns_of,
    main_currency,
    row_of,
)
from services.scoring.domain.decay import DAY_SECONDS, LATEST_SECONDS
from services.scoring.domain.features import CustomerState
from services.scoring.domain.models import Model
from services.scoring.domain.scores import Figures, figures_of, next_change, score
from services.scoring.domain.standing import Reading, Standing, Step, step
from shared.ids import CustomerId

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# No instant of an assessment lies beyond this, whatever a shop's clock says.
LATEST = EPOCH + timedelta(seconds=LATEST_SECONDS)


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
    """An assessed visit: what changed, when silence will change it next, and its figures."""

    visit: Visit
    step: Step
    next_review_at: datetime | None
    currency: str
    figures: Figures


class _Reckoned(NamedTuple):
    """A visit with its numbers. `due` is the review after it, in seconds since 1970."""

    visit: Visit
    currency: str
    basis: Basis
    figures: Figures
    due: int | None

    def reading(self) -> Reading:
        """What decisions need of the numbers."""
        basis, figures = self.basis, self.figures
        return Reading(
            basis.purchases,
            basis.silent,
            basis.gap,
            figures.risk,
            figures.engagement,
            figures.health,
            figures.predicted_12m,
            figures.tier,
        )


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
        taken = step(before, one.reading(), one.visit.as_of, inherited)
        current[customer] = taken.standing
        upcoming = None if one.due is None else EPOCH + timedelta(seconds=one.due)
        outcomes.append(Outcome(one.visit, taken, upcoming, one.currency, one.figures))
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
    """Puts in front of each visit the reviews that fell due since the customer's one before.

    A review tells when the next one is due, so they are made in rounds, of all customers at once.
    """
    last: dict[CustomerId, _Reckoned] = {}
    waiting: list[tuple[int, _Reckoned]] = []
    for index, one in enumerate(reckoned):
        before = last.get(one.visit.customer_id)
        if before is not None and not one.visit.fresh:
            waiting.append((index, before))
        last[one.visit.customer_id] = one
    reviews: dict[int, list[_Reckoned]] = {}
    while waiting := [
        (index, before)
        for index, before in waiting
        if before.due is not None and before.due <= reckoned[index].visit.as_of.timestamp()
    ]:
        made = _reckon([_review(before, recorded) for _, before in waiting], rules)
        waiting = [(index, one) for (index, _), one in zip(waiting, made, strict=True)]
        for index, one in waiting:
            reviews.setdefault(index, []).append(one)
    if not reviews:
        return list(reckoned)
    return [one for i, visit in enumerate(reckoned) for one in (*reviews.get(i, ()), visit)]


def _review(before: _Reckoned, recorded: Callable[[datetime], datetime]) -> Visit:
    """The visit that silence makes due after one."""
    visit = before.visit
    assert before.due is not None, "a review without a date"
    due = EPOCH + timedelta(seconds=before.due)
    cause = review_cause(visit.customer_id, due)
    return Visit(visit.customer_id, visit.state, due, cause, recorded(due))


def _reckon(visits: Sequence[Visit], rules: Rules) -> list[_Reckoned]:
    """The numbers of all visits, vectorised."""
    if not visits:
        return []
    model = rules.model
    instants = [int(one.as_of.timestamp()) for one in visits]
    currencies = [main_currency(one.state, model.currency or rules.currency) for one in visits]
    bases = [
        basis_of(one.state, currency, at)
        for one, currency, at in zip(visits, currencies, instants, strict=True)
    ]
    columns = columns_of(
        row_of(one.state, basis, at, native=model.counts_in(currency))
        for one, basis, at, currency in zip(visits, bases, instants, currencies, strict=True)
    )
    scores = score(columns, model, rules.horizon_days)
    changes = next_change(columns, model, rules.horizon_days, scores).tolist()
    dues, figures = map(_due, visits, bases, changes), figures_of(columns, scores)
    return [_Reckoned(*each) for each in zip(visits, currencies, bases, figures, dues, strict=True)]


def _due(visit: Visit, basis: Basis, silence: int) -> int | None:
    """The instant (seconds since 1970) of that day of silence; None where there is none."""
    if silence < 0:
        return None
    due = due_at(visit.customer_id, basis.anchor + silence)
    return due if due < LATEST_SECONDS else None
