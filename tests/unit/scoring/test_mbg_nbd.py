"""MBG/NBD against closed forms, simulated shops and plain counting."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from services.scoring.domain.fitting import History, fit_buying
from services.scoring.domain.mbg_nbd import (
    Floats,
    MbgNbd,
    alive,
    expected_purchases,
    gradient,
    log_likelihood,
    median_wait,
    no_purchase,
)
from tests.unit.scoring.builders import quick

MODEL = MbgNbd(r=0.8, alpha=60.0, a=0.8, b=2.5)
REPEATS = np.array([0.0, 1, 5, 20, 150])
LAST = np.array([0.0, 30, 150, 300, 900])
SILENT = np.array([10.0, 50, 20, 100, 5])

days = st.floats(0, 4_000)


def simulated(model: MbgNbd, buyers: int, observed: float, seed: int) -> History:
    """Buyers who lived by the model for `observed` days."""
    return simulated_until(model, buyers, observed, observed, seed)


def simulated_until(
    model: MbgNbd, buyers: int, observed: float, known: float, seed: int
) -> History:
    """The same buyers, as they were known after `known` of the `observed` days."""
    dice = np.random.default_rng(seed)
    rates = dice.gamma(model.r, 1 / model.alpha, buyers)
    leaving = dice.beta(model.a, model.b, buyers)
    repeats, last = np.zeros(buyers), np.zeros(buyers)
    for buyer in range(buyers):
        at, left = 0.0, dice.random() < leaving[buyer]
        while not left:
            at += dice.exponential(1 / rates[buyer])
            if at > observed:
                break
            if at <= known:
                repeats[buyer] += 1
                last[buyer] = at
            left = dice.random() < leaving[buyer]
    return History(repeats, last, np.full(buyers, known), np.ones(buyers))


def test_expected_purchases_agree_with_the_published_closed_form() -> None:
    """Batislam et al. 2007 by Gauss's hypergeometric function."""
    r, alpha, a, b = MODEL.r, MODEL.alpha, MODEL.a, MODEL.b
    observed, ahead = LAST + SILENT, 365.0
    shape = r + REPEATS
    gauss = special.hyp2f1(
        shape, b + REPEATS + 1, a + b + REPEATS, ahead / (alpha + observed + ahead)
    )
    share = 1 - gauss * ((alpha + observed) / (alpha + observed + ahead)) ** shape
    gone = (a / (b + REPEATS)) * ((alpha + observed) / (alpha + LAST)) ** shape
    published = (a + b + REPEATS) / (a - 1) * share / (1 + gone)
    ours = expected_purchases(MODEL, REPEATS, LAST, SILENT, ahead)
    assert ours == pytest.approx(published, rel=1e-9)


def test_half_of_those_who_buy_within_a_year_have_bought_by_the_median() -> None:
    for model in (MODEL, MbgNbd(1.5, 50.0, 0.0, 1.0)):
        median = median_wait(model, REPEATS, LAST, SILENT, 365.0)
        by_then, by_the_end = (
            1.0 - no_purchase(model, REPEATS, LAST, SILENT, days) for days in (median, 365.0)
        )
        assert by_then == pytest.approx(by_the_end / 2.0, rel=1e-9)


def test_the_gradient_is_that_of_the_likelihood() -> None:
    at = np.log([MODEL.r, MODEL.alpha, MODEL.a, MODEL.b])
    exact = gradient(MODEL, REPEATS, LAST, LAST + SILENT)

    def value(point: Floats) -> Floats:
        return log_likelihood(MbgNbd(*np.exp(point)), REPEATS, LAST, LAST + SILENT)

    for axis in range(4):
        step = np.zeros(4)
        step[axis] = 1e-6
        slope = (value(at + step) - value(at - step)) / 2e-6
        assert slope == pytest.approx(exact[axis], abs=1e-5)


@quick
@given(st.integers(0, 400), days, days, st.floats(0, 400))
def test_risk_never_falls_in_silence(repeats: int, last: float, silent: float, more: float) -> None:
    x, tx = np.full(2, float(repeats)), np.full(2, last if repeats else 0.0)
    now, later = no_purchase(MODEL, x, tx, np.array([silent, silent + more]), 90.0)
    assert 0.0 <= now <= later + 1e-12 <= 1.0 + 1e-9


@quick
@given(st.integers(0, 10**6), st.floats(0, 40_000), st.floats(0, 40_000))
def test_extremes_stay_finite(repeats: int, last: float, silent: float) -> None:
    x, tx, t = (np.array([value]) for value in (float(repeats), last, silent))
    for model in (MODEL, MbgNbd(0.01, 1e-3, 0.0, 1.0), MbgNbd(8_000.0, 8_000.0, 1e-3, 400.0)):
        for found in (
            no_purchase(model, x, tx, t, 90.0),
            alive(model, x, tx, t),
            expected_purchases(model, x, tx, t, 365.0),
            median_wait(model, x, tx, t, 365.0),
        ):
            assert np.all(np.isfinite(found))
            assert np.all(found >= 0)


def test_the_fit_finds_the_parameters_of_a_simulated_shop() -> None:
    truth = MbgNbd(r=0.9, alpha=40.0, a=0.7, b=2.0)
    found, _ = fit_buying(simulated(truth, 6_000, 400.0, seed=7))
    assert found.r == pytest.approx(truth.r, rel=0.15)
    assert found.alpha == pytest.approx(truth.alpha, rel=0.2)
    assert found.a / (found.a + found.b) == pytest.approx(0.7 / 2.7, rel=0.15)


def test_where_nobody_leaves_the_fit_takes_the_nbd_limit() -> None:
    stays = MbgNbd(r=1.5, alpha=50.0, a=1e-6, b=1.0)
    found, _ = fit_buying(simulated(stays, 2_000, 300.0, seed=8))
    assert found.a == 0.0
    assert found.r == pytest.approx(1.5, rel=0.15)


def test_the_predicted_share_that_stays_away_is_what_happens() -> None:
    """Simulated to day 400, predicted from day 310 on."""
    whole = simulated(MODEL, 20_000, 400.0, seed=9)
    # The same dice stopped earlier: these buyers as they were known on day 310.
    then = simulated_until(MODEL, 20_000, 400.0, 310.0, seed=9)
    risk = no_purchase(MODEL, then.repeats, then.last, 310.0 - then.last, 90.0)
    stayed = whole.repeats == then.repeats
    assert risk.mean() == pytest.approx(stayed.mean(), abs=0.01)
    for low, high in ((0.0, 0.5), (0.5, 0.8), (0.8, 0.95), (0.95, 1.0)):
        these = (risk >= low) & (risk < high)
        assert risk[these].mean() == pytest.approx(stayed[these].mean(), abs=0.03)
