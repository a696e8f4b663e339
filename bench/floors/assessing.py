"""What both floors of scoring do with one event: the same fold, prediction and news as the service.

Only the batching is missing: every array has one row. Links between ids do not occur in the
workload, so who an event is about is its subject.
"""

from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass
from datetime import datetime

from services.scoring.domain.features import EMPTY, CustomerState, after
from services.scoring.domain.models import PRIOR
from services.scoring.domain.orders import Order
from services.scoring.domain.telling import news
from services.scoring.domain.timeline import Outcome, Rules, Visit, assess, instant
from services.scoring.handlers.events import current_of
from services.scoring.handlers.means import text_of
from services.scoring.lexicon import Lexicon
from services.scoring.settings import ScoringSettings
from services.scoring.store.assessments import Current
from shared.clock import wall_now
from shared.events.commerce import OrderCancelled, OrderCompleted, OrderRefunded
from shared.events.envelope import Event
from shared.events.written import Written

# Where a floor that does not write on the platform's own topics tells its news.
NEWS_TOPIC = "bench.news"


@dataclass(frozen=True, slots=True)
class Known:
    """All that is kept of a customer besides the orders."""

    state: CustomerState = EMPTY
    as_of: datetime | None = None
    current: Current | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """What one event made of a customer, and what is to be told."""

    known: Known
    outcomes: list[Outcome]
    news: list[Written]

    @property
    def published(self) -> list[Outcome]:
        return [one for one in self.outcomes if one.step.published]


class Judge:
    """Assesses customers one event at a time, by the model in force before any fit."""

    def __init__(self) -> None:
        # The fields' defaults: the environment of a benchmark says nothing about scoring.
        fields = ScoringSettings.model_fields
        self.rules = Rules(PRIOR, fields["horizon_days"].default, fields["currency"].default)
        self._lexicon = Lexicon()

    def take(self, event: Event, known: Known, orders: MutableMapping[str, Order]) -> Judged:
        """Folds and assesses; `orders` holds the order that is named and is brought up to date."""
        at = wall_now()
        text = text_of(event)
        sentiment = self._lexicon.sentiment(text) if text else None
        before = known.as_of
        if known.current is not None:
            before = max(known.current.as_of, before or known.current.as_of)
        as_of = instant(at, before)
        state = after(known.state, event, orders, sentiment)
        visits = [*_standing(event, known, as_of), Visit(event.subject, state, as_of, event.id, at)]
        current = known.current
        standings = {event.subject: current.standing if current is not None else None}
        outcomes = assess(visits, standings, self.rules, lambda _due: at)
        new = Known(state, as_of, current_of(outcomes[-1], self.rules))
        return Judged(new, outcomes, news(outcomes, self.rules))


def order_named(event: Event) -> str | None:
    """The order that an event is about, if any."""
    if isinstance(event, OrderCompleted | OrderRefunded | OrderCancelled):
        return event.data.order_id
    return None


def _standing(event: Event, known: Known, until: datetime) -> Iterator[Visit]:
    """Where time stood, when a review has fallen due since."""
    current = known.current
    if current is None or current.next_review_at is None or current.next_review_at > until:
        return
    stood = known.as_of or current.as_of
    yield Visit(event.subject, known.state, stood, "", stood, silent=True)
