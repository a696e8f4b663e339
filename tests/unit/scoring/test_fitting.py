"""Fits: what they need, what they find, and how their quality is told."""

from datetime import UTC, datetime

import numpy as np
import pytest

from services.scoring.domain.fitting import (
    Collector,
    Fitted,
    History,
    Purchases,
    TooLittle,
    fit,
    fit_spending,
    history_until,
    quality,
)
from services.scoring.domain.gamma_gamma import GammaGamma, expected_value
from services.scoring.domain.models import PRIOR, from_plain, to_plain
from services.scoring.handlers.fitting import count_again_at
from tests.unit.scoring.test_mbg_nbd import MODEL, simulated

DAY = int(datetime(2026, 3, 2, tzinfo=UTC).timestamp()) // 86_400


def rows_of(buyers: int, days: int, seed: int) -> list[tuple[str, int, float]]:
    """Purchase days of a simulated shop, in the order in which the store gives them."""
    history = simulated(MODEL, buyers, float(days), seed)
    dice = np.random.default_rng(seed)
    rows = []
    for buyer in range(buyers):
        repeats, last = int(history.repeats[buyer]), history.last[buyer]
        between = sorted(dice.uniform(0, last, max(repeats - 1, 0)))
        at = {0, *(int(one) for one in between), int(last)} if repeats else {0}
        rows += [(f"c-{buyer:05}", DAY - days + one, 4_000.0) for one in sorted(at)]
    return rows


def read(rows: list[tuple[str, int, float]]) -> Purchases:
    """As the store reads them: one order a day."""
    found = Collector()
    for row in rows:
        found.add(*row, 1)
    return found.done()


def fitted(rows: list[tuple[str, int, float]]) -> Fitted | TooLittle:
    return fit(read(rows), name="mbg-nbd-1", cut=DAY, horizon_days=90, currency="GBP", unit=100)


def test_a_shop_with_little_history_keeps_the_prior_and_says_why() -> None:
    result = fitted(rows_of(30, 300, seed=1))
    assert isinstance(result, TooLittle)
    assert "30 buyers" in result.reason


def test_a_shop_with_no_repeat_buyers_keeps_the_prior() -> None:
    result = fitted([(f"c-{n:05}", DAY - 100, 1_000.0) for n in range(500)])
    assert isinstance(result, TooLittle)


def test_a_fit_tells_edges_typical_and_quality_on_the_last_window() -> None:
    result = fitted(rows_of(1_500, 400, seed=2))
    assert isinstance(result, Fitted)
    model, holdout = result.model, result.metrics["holdout"]
    assert model.typical.gap_days > 1
    assert list(model.edges.recency_days) == sorted(model.edges.recency_days)
    assert model.tiers[0] <= model.tiers[1]
    assert holdout["customers"] == 1_500
    assert holdout["auc"] > 0.6
    assert holdout["ece"] < 0.05
    assert from_plain(to_plain(model)) == model


def test_a_fit_depends_on_nothing_after_its_day() -> None:
    rows = rows_of(800, 400, seed=3)
    known = [row for row in rows if row[1] <= DAY]
    later = sorted([*known, *((row[0], DAY + 5, 9_999.0) for row in known[::7])])
    assert fitted(known) == fitted(later)


def test_a_handful_of_buyers_is_held_by_the_prior() -> None:
    small = fitted(rows_of(80, 200, seed=4))
    assert isinstance(small, Fitted)
    assert abs(np.log(small.model.buying.alpha / PRIOR.buying.alpha)) < 1.5


def test_gamma_gamma_finds_a_simulated_shop_and_shrinks_single_purchases() -> None:
    dice = np.random.default_rng(5)
    number = dice.integers(1, 10, 4_000).astype(np.float64)
    rate = dice.gamma(4.0, 1 / 60.0, 4_000)
    mean = dice.gamma(6.0 * number, 1 / (rate * number))
    history = History(number - 1, number, number, mean)
    model = fit_spending(history)
    assert model.p * model.gamma / (model.q - 1) == pytest.approx(6 * 60 / 3, rel=0.05)
    one, many = expected_value(model, np.array([1.0, 30.0]), np.array([500.0, 500.0]))
    assert one < many < 500.0


def test_gamma_gamma_of_nothing_spent_is_the_prior_held_finite() -> None:
    history = History(np.zeros(100), np.zeros(100), np.full(100, 50.0), np.zeros(100))
    assert fit_spending(history) == PRIOR.spending
    assert np.isfinite(expected_value(GammaGamma(4.0, 4.0, 30.0), np.zeros(1), np.zeros(1)))


def test_history_counts_days_and_stops_at_the_cut() -> None:
    rows = [("a", 10, 100.0), ("a", 20, 300.0), ("a", 90, 1.0), ("b", 60, 1.0)]
    history = history_until(read(rows), cut=50, unit=100)
    assert history.repeats.tolist() == [1.0]
    assert history.last.tolist() == [10.0]
    assert history.observed.tolist() == [40.0]
    assert history.mean.tolist() == [2.0]


def test_quality_of_a_perfect_and_of_a_blind_prediction() -> None:
    happened = np.array([True, True, False, False])
    perfect = quality(np.array([0.9, 0.8, 0.2, 0.1]), happened)
    blind = quality(np.full(4, 0.5), happened)
    assert perfect["auc"] == 1.0
    assert blind["auc"] == 0.5
    assert blind["log_loss"] == pytest.approx(np.log(2), abs=1e-3)
    assert quality(np.full(2, 0.5), np.array([True, True]))["auc"] is None


def test_fifths_of_frequency_count_orders_and_the_model_days() -> None:
    found = Collector()
    for buyer in range(100):
        for day in (0, 50) if buyer % 2 else (0,):
            found.add(f"c-{buyer:03}", DAY - 100 + day, 1_000.0, orders=10)
    result = fit(found.done(), name="m", cut=DAY, horizon_days=90, currency="GBP", unit=100)
    assert isinstance(result, Fitted)
    assert result.model.edges.frequency == (10.0, 10.0, 20.0, 20.0)
    assert result.model.typical.purchases == 1.5


def test_a_shop_without_any_purchase_has_too_little() -> None:
    assert isinstance(fitted([]), TooLittle)


def test_a_purchase_day_is_kept_in_32_bytes() -> None:
    found = Collector()
    for day in range(100_000):
        found.add("c-1", day, 1.0, 1)
    kept = found.done()
    assert sum(one.nbytes for one in (kept.buyer, kept.day, kept.net, kept.orders)) == 3_200_000


def test_a_long_count_is_not_made_all_the_time() -> None:
    assert count_again_at(10.0, 10.2) == 10.2
    assert count_again_at(10.0, 13.0) == 313.0
