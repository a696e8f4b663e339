"""The borders of batches never show: a customer is judged and told of alike in any company."""

from dataclasses import replace
from datetime import datetime
from itertools import chain

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.scoring.domain import mbg_nbd
from services.scoring.domain.mbg_nbd import MbgNbd
from services.scoring.domain.models import PRIOR
from services.scoring.domain.telling import assessments_of, news
from services.scoring.domain.timeline import Rules, Visit, assess, instant
from shared.events.envelope import Event
from shared.events.scoring import Assessment
from shared.ids import CustomerId
from tests.unit.scoring.builders import DAY, folded, happenings, instants, quick

SHOPS = [
    Rules(model, horizon_days=90, currency="EUR")
    for model in (
        PRIOR,
        # Nobody leaves, and amounts are compared in yen.
        replace(PRIOR, buying=MbgNbd(1.5, 50.0, 0.0, 1.0), currency="JPY", tiers=(1.0, 1e6)),
        # Most leave at once.
        replace(PRIOR, buying=MbgNbd(0.05, 3.0, 0.2, 0.05), tiers=(0.02, 13.5)),
    )
]


def told(visits: list[Visit], rules: Rules) -> tuple[list[object], list[Assessment], list[bytes]]:
    """All that comes of visits: decisions, pictures, news."""
    outcomes = assess(visits, {}, rules, lambda due: due)
    decided: list[object] = [
        (one.visit, one.step, one.next_review_at, one.currency) for one in outcomes
    ]
    return decided, assessments_of(outcomes, rules), [one.value for one in news(outcomes, rules)]


@quick
@given(
    st.lists(st.lists(happenings, max_size=8), min_size=1, max_size=6),
    st.integers(1, 20),
    instants,
    st.integers(0, 400),
    st.sampled_from(SHOPS),
)
def test_a_visit_comes_out_the_same_alone_and_in_a_batch_of_any_size(
    lives: list[list[Event]], size: int, at: datetime, days: int, rules: Rules
) -> None:
    states = [folded(life) for life in lives]
    first = instant(at, None)
    # What silence changes between the two is reviewed, in rounds of those whom it concerns.
    both = (first, instant(first + days * DAY, first))
    visits = [
        [Visit(CustomerId(f"c-{n}"), states[n % len(states)], one, "e", one) for one in both]
        for n in range(size)
    ]
    alone = [told(own, rules) for own in visits]
    together = told(list(chain.from_iterable(visits)), rules)
    for kind, all_of_kind in enumerate(together):
        assert all_of_kind == list(chain.from_iterable(own[kind] for own in alone))


def test_the_figures_of_buyers_are_the_same_alone_and_together_to_the_last_bit() -> None:
    """Before any rounding, which would hide most differences."""
    dice = np.random.default_rng(4)
    repeats = np.floor(dice.exponential(6.0, 500))
    last = repeats * np.floor(dice.exponential(40.0, 500))
    silent = np.floor(dice.exponential(90.0, 500))
    ahead = silent + np.array([[0.0], [1.0], [700.0]])
    for rules in SHOPS:
        model = rules.model.buying

        def figures(rows: slice, model: MbgNbd = model) -> list[mbg_nbd.Floats]:
            x, tx, t, later = repeats[rows], last[rows], silent[rows], ahead[:, rows]
            return [
                mbg_nbd.no_purchase(model, x, tx, later, 90.0),
                mbg_nbd.expected_purchases(model, x, tx, later, 365.0),
                mbg_nbd.expected_purchases(model, x, tx, t, 365.0),
                mbg_nbd.median_wait(model, x, tx, t, 365.0),
            ]

        together = figures(slice(None))
        assert np.array_equal(together[1][0], together[2])
        for row in range(500):
            for one, many in zip(figures(slice(row, row + 1)), together, strict=True):
                assert np.array_equal(one[..., 0], many[..., row])
