"""The dates and intervals of pictures, held against what they are said to mean."""

from itertools import product
from math import ceil, isnan

import numpy as np
import pytest

from services.scoring.domain import mbg_nbd
from services.scoring.domain.assessing import RETURN_CHANCE_MIN, Details, details_of
from services.scoring.domain.mbg_nbd import MbgNbd
from services.scoring.domain.models import Model
from services.scoring.domain.scores import YEAR_DAYS, Figures
from tests.unit.scoring.test_batches import SHOPS

MODELS = [rules.model for rules in SHOPS]
BUYERS = list(product((0, 1, 3, 20), (1.0, 14.0, 45.0), (0.0, 10.0, 100.0, 400.0, 2_000.0)))


def figures_of(repeats: int, gap: float, silent: float) -> Figures:
    """A buyer who ordered every `gap` days and not since `silent` days."""
    return Figures(
        purchases=repeats + 1.0, last=repeats * gap, silent=silent, orders=repeats + 1.0,
        net=100.0, native=1.0, texts=0.0, sentiment_sum=0.0, risk=0.5, engagement=0.0, trend=0.0,
        health=0.0, coming=2.0, predicted_12m=50.0, tier=0, engagement_parts=(), health_parts=(),
    )  # fmt: skip


def buys_within(model: MbgNbd, one: Figures, days: float) -> float:
    repeats, last, silent = (np.array([x]) for x in (one.purchases - 1, one.last, one.silent))
    return float(1.0 - mbg_nbd.no_purchase(model, repeats, last, silent, days)[0])


@pytest.mark.parametrize("model", MODELS, ids=["prior", "nobody leaves", "most leave"])
def test_the_expected_date_is_the_day_by_which_half_of_those_who_return_have_bought(
    model: Model,
) -> None:
    buyers = [figures_of(*each) for each in BUYERS]
    dated = 0
    for one, found in zip(buyers, details_of(buyers, model, 90), strict=True):
        returns = buys_within(model.buying, one, YEAR_DAYS)
        if returns < RETURN_CHANCE_MIN:
            assert isnan(found.expected_days)
            continue
        day = found.expected_days
        dated += 1
        assert day == ceil(day) >= 1
        tiny = 1e-12
        assert buys_within(model.buying, one, day) >= returns / 2 - tiny
        assert buys_within(model.buying, one, day - 1) < returns / 2 + tiny
        assert found.probability_30d == pytest.approx(buys_within(model.buying, one, 30), abs=1e-6)
    assert dated >= len(buyers) // 4


@pytest.mark.parametrize("model", MODELS, ids=["prior", "nobody leaves", "most leave"])
def test_details_are_the_same_alone_and_together_to_the_last_bit(model: Model) -> None:
    buyers = [figures_of(*each) for each in BUYERS]
    alone = [details_of([one], model, 90)[0] for one in buyers]
    assert list(map(_bits, details_of(buyers, model, 90))) == list(map(_bits, alone))


def _bits(details: Details) -> list[str]:
    numbers = (*details[:-1], *details.split)
    return [float(one).hex() for one in numbers]


def test_extremes_of_a_fit_stay_finite() -> None:
    model = MbgNbd(8_000.0, 8_000.0, 403.0, 9e-4)
    none, long = np.array([0.0]), np.array([3_650.0])
    for figure in (
        mbg_nbd.no_purchase(model, none, none, long, 90.0),
        mbg_nbd.expected_purchases(model, none, none, long, 365.0),
        mbg_nbd.alive(model, none, none, long),
    ):
        assert np.isfinite(figure).all()
