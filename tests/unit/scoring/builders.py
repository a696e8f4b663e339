"""Strategies and shorthands for the scoring domain's tests."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from services.scoring.domain.features import EMPTY, CustomerState, after
from services.scoring.domain.models import PRIOR
from services.scoring.domain.orders import Order
from services.scoring.domain.timeline import Outcome, Rules, Visit, assess
from shared.events.commerce import (
    CheckoutStarted,
    OrderCancelled,
    OrderCompleted,
    OrderRefunded,
    PaymentFailed,
)
from shared.events.engagement import (
    MessageClicked,
    MessageOpened,
    ProductViewed,
    ReviewSubmitted,
    SessionStarted,
    SurveyAnswered,
)
from shared.events.envelope import Event
from shared.events.support import TicketOpened, TicketResolved
from shared.ids import CustomerId
from shared.testing.builders import event

RULES = Rules(PRIOR, horizon_days=90, currency="EUR")
ANNA = CustomerId("anna")
DAY = timedelta(days=1)

FIRST, LAST = datetime(1995, 1, 1, tzinfo=UTC), datetime(2110, 1, 1, tzinfo=UTC)
instants = st.integers(int(FIRST.timestamp()), int(LAST.timestamp())).map(
    lambda seconds: datetime.fromtimestamp(seconds, UTC)
)
# Enough to find what is wrong with a sum; the machine may be busy.
quick = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
amounts = st.sampled_from(["0", "0.01", "12.99", "999999999999.99"])
currencies = st.sampled_from(["GBP", "JPY"])
names = st.sampled_from(["o-1", "o-2", "o-3"])


_plain = (
    SessionStarted,
    ProductViewed,
    PaymentFailed,
    TicketOpened,
    MessageClicked,
    ReviewSubmitted,
    SurveyAnswered,
)
_told: st.SearchStrategy[tuple[type[Event], dict[str, Any]]] = st.one_of(
    st.tuples(
        st.just(OrderCompleted),
        st.fixed_dictionaries({"order_id": names, "total": amounts, "currency": currencies}),
    ),
    st.tuples(
        st.just(OrderRefunded),
        st.fixed_dictionaries(
            {
                "order_id": names,
                "refund_id": st.sampled_from(["r-1", "r-2"]),
                "amount": amounts,
                "currency": currencies,
            }
        ),
    ),
    st.tuples(st.just(OrderCancelled), st.fixed_dictionaries({"order_id": names})),
    st.tuples(st.just(TicketResolved), st.just({"satisfaction": 2})),
    st.tuples(st.just(MessageOpened), st.fixed_dictionaries({"machine": st.booleans()})),
    st.tuples(st.sampled_from(_plain), st.just({})),
    st.tuples(st.just(CheckoutStarted), st.just({"cart_id": "k-1", "items": []})),
)
# Any event that is folded, at any time, about one of three orders.
happenings: st.SearchStrategy[Event] = st.builds(
    lambda told, at: event(told[0], at=at, **told[1]), _told, instants
)


def folded(events: Sequence[Event]) -> CustomerState:
    """The state after events, from nothing."""
    state, orders = EMPTY, dict[str, Order]()
    for one in events:
        state = after(state, one, orders)
    return state


def bought(*at: datetime, total: str = "40.00") -> CustomerState:
    """Who ordered at these instants."""
    return folded(
        [event(OrderCompleted, order_id=f"o-{n}", total=total, at=one) for n, one in enumerate(at)]
    )


def judged(state: CustomerState, *instants: datetime, rules: Rules = RULES) -> list[Outcome]:
    """Outcomes of assessing one state at these instants, with the reviews between."""
    visits = [Visit(ANNA, state, at, f"e-{n}", at) for n, at in enumerate(instants)]
    return assess(visits, {}, rules, lambda due: due)
