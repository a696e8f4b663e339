"""The numbers of an assessment, for many customers at once.

Only element-wise operations: the result of a row does not depend on which others are beside it, so
the borders of batches never show. Results are rounded before anybody compares them with a level.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.scoring.domain import gamma_gamma, mbg_nbd
from services.scoring.domain.columns import Columns, count_of
from services.scoring.domain.decay import HALF_LIVES_DAYS
from services.scoring.domain.features import HALVES, SENTIMENT_SCALE, Count, Warmth
from services.scoring.domain.models import Model
from services.scoring.domain.stages import SILENCE_EDGES_DAYS

Floats = NDArray[np.float64]
Components = Mapping[str, Floats]

YEAR_DAYS = 365.0
MONTH_DAYS = 30.0
SILENCE_MAX_DAYS = 3_650
RISK_DECIMALS = 6
SCORE_DECIMALS = 2
SHORT, LONG = 0, 1

# Weights and scales are data: points of 100 that each component is worth when it is known, and the
# decayed count at which it reaches 63.
ENGAGEMENT_WEIGHTS = {"purchases": 0.35, "visits": 0.35, "responses": 0.20, "voice": 0.10}
WARMTH_SCALES = {"visits": 40.0, "responses": 4.0, "voice": 4.0}
PURCHASE_HALF_LIFE_DAYS = 60.0
HEALTH_WEIGHTS = {
    "retention": 0.40,
    "engagement": 0.25,
    "satisfaction": 0.15,
    "support": 0.10,
    "sentiment": 0.05,
    "payments": 0.05,
}

_VISITING = (Count.VISITS, Count.VIEWS, Count.CARTS, Count.CHECKOUTS, Count.CUSTOM)
_RESPONDING = (Count.DELIVERED, Count.OPENED, Count.CLICKED)
_SPEAKING = (Count.REVIEWS, Count.SOCIAL, Count.NPS, Count.CSAT, Count.REFERRALS)


@dataclass(frozen=True, slots=True)
class Scores:
    """One array a score; NaN in a component means that nothing is known of it.

    `historic` and `predicted_12m` are major units; `tier` is 0 low, 1 medium, 2 high.
    """

    risk: Floats
    engagement: Floats
    trend: Floats
    engagement_parts: Components
    health: Floats
    health_parts: Components
    historic: Floats
    predicted_12m: Floats
    tier: NDArray[np.int64]


def score(columns: Columns, model: Model, horizon_days: int) -> Scores:
    """All scores as of each row's instant."""
    risk = churn_risk(columns, model, columns.silent, horizon_days)
    parts = _engagement_parts(columns)
    engagement = _weighted(parts, ENGAGEMENT_WEIGHTS)
    health_parts = _health_parts(columns, risk, engagement)
    predicted = predicted_value(columns, model, columns.silent)
    return Scores(
        risk=risk,
        engagement=engagement,
        trend=_trend(columns),
        engagement_parts=parts,
        health=_weighted(health_parts, HEALTH_WEIGHTS),
        health_parts=health_parts,
        historic=columns.net,
        predicted_12m=predicted,
        tier=value_tier(columns, model, predicted),
    )


def churn_risk(columns: Columns, model: Model, silent: Floats, horizon_days: float) -> Floats:
    """Probability of no purchase within the horizon after `silent` days, to six decimals.

    0 for who never bought: there is no habit that could end, so they lead no list of risks.
    """
    risk = mbg_nbd.no_purchase(model.buying, columns.repeats, columns.last, silent, horizon_days)
    return np.where(columns.purchases > 0, _rounded(np.clip(risk, 0.0, 1.0), RISK_DECIMALS), 0.0)


def predicted_value(columns: Columns, model: Model, silent: Floats) -> Floats:
    """Expected net spend of the next 365 days, major units; nothing for who never bought.

    What a purchase is worth is shrunk towards the shop's where both are in one currency; in another
    it is the customer's own mean.
    """
    mean = columns.net / np.maximum(columns.purchases, 1.0)
    shrunk = gamma_gamma.expected_value(model.spending, columns.purchases, mean)
    worth = np.where(columns.native > 0, shrunk, np.maximum(mean, 0.0))
    number = mbg_nbd.expected_purchases(
        model.buying, columns.repeats, columns.last, silent, YEAR_DAYS
    )
    return np.where(columns.purchases > 0, _rounded(number * worth, SCORE_DECIMALS), 0.0)


def value_tier(columns: Columns, model: Model, predicted: Floats) -> NDArray[np.int64]:
    """0 low, 1 medium, 2 high; low in a currency that the model's amounts are not in."""
    total = np.where(columns.native > 0, columns.net + predicted, -np.inf)
    return (total >= model.tiers[0]).astype(np.int64) + (total >= model.tiers[1])


def next_change(
    columns: Columns, model: Model, horizon_days: int, scores: Scores
) -> NDArray[np.int64]:
    """The first day of silence, after today's, on which silence alone has changed something.

    That is when the risk has passed the next whole point (levels of thresholds are whole points),
    when a stage ends, or when the value has fallen below its tier. -1 where nothing will change
    within ten years, or nothing was ever bought. Exact, because in silence the risk never falls and
    the value never grows.
    """
    top = np.maximum(columns.silent, SILENCE_MAX_DAYS)
    level = (np.floor(np.round(scores.risk * 100.0, 4)) + 1.0) / 100.0

    def risen(silent: Floats) -> NDArray[np.bool_]:
        return churn_risk(columns, model, silent, horizon_days) >= level

    day = np.where(risen(top), _first_day(risen, columns.silent, top), np.inf)
    for edge in SILENCE_EDGES_DAYS:
        day = np.where(columns.silent < edge, np.minimum(day, edge), day)

    def fallen(silent: Floats) -> NDArray[np.bool_]:
        predicted = predicted_value(columns, model, silent)
        return value_tier(columns, model, predicted) < scores.tier

    until = np.minimum(day, top)
    fall = fallen(until)
    if np.any(fall):
        day = np.where(fall, _first_day(fallen, columns.silent, until), day)
    known = (columns.purchases > 0) & np.isfinite(day)
    return np.where(known, day, -1.0).astype(np.int64)


def _first_day(
    true_from: Callable[[Floats], NDArray[np.bool_]], low: Floats, high: Floats
) -> Floats:
    """The first whole day after `low` on which it is true, where it is at `high`."""
    for _ in range(SILENCE_MAX_DAYS.bit_length()):
        middle = np.floor((low + high) / 2.0)
        there = true_from(middle)
        low, high = np.where(there, low, middle), np.where(there, middle, high)
    return high


def _weighted(parts: Components, weights: Mapping[str, float]) -> Floats:
    """Mean of the known components, their weights renormalised, to two decimals."""
    first = next(iter(parts.values()))
    total, weight = np.zeros_like(first), np.zeros_like(first)
    for name, values in parts.items():
        known = ~np.isnan(values)
        total = total + np.where(known, values, 0.0) * weights[name]
        weight = weight + known * weights[name]
    return _rounded(np.clip(total / np.maximum(weight, 1e-9), 0.0, 100.0), SCORE_DECIMALS)


def _rounded(values: Floats, decimals: int) -> Floats:
    return np.asarray(np.round(values, decimals), dtype=np.float64)


def _engagement_parts(columns: Columns) -> Components:
    bought = columns.purchases
    recent = np.exp2(-columns.silent / PURCHASE_HALF_LIFE_DAYS)
    return {
        "purchases": 100.0 * recent * bought / (bought + 1.0),
        "visits": _warm(columns, Warmth.VISIT, "visits", _VISITING),
        "responses": _warm(columns, Warmth.RESPONSE, "responses", _RESPONDING),
        "voice": _warm(columns, Warmth.VOICE, "voice", _SPEAKING),
    }


def _warm(columns: Columns, kind: Warmth, name: str, counts: Sequence[Count]) -> Floats:
    """0 to 100 from the short counter; NaN when there never was anything of this kind."""
    ever = sum((count_of(columns, which) for which in counts), np.zeros_like(columns.silent))
    level = columns.levels[kind * HALVES + SHORT]
    return np.where(ever > 0, -100.0 * np.expm1(-level / WARMTH_SCALES[name]), np.nan)


def _trend(columns: Columns) -> Floats:
    """The recent daily rate of engagement against the longer one: -1 fading to 1 rising."""
    rates = []
    for half in (SHORT, LONG):
        levels = (columns.levels[kind * HALVES + half] for kind in Warmth)
        rates.append(sum(levels, np.zeros_like(columns.silent)) / HALF_LIVES_DAYS[half])
    short, long = rates
    both = short + long
    return _rounded(np.where(both > 0, (short - long) / np.maximum(both, 1e-300), 0.0), 4)


def _health_parts(columns: Columns, risk: Floats, engagement: Floats) -> Components:
    opened, resolved = (
        count_of(columns, Count.TICKETS_OPENED),
        count_of(columns, Count.TICKETS_RESOLVED),
    )
    failures = count_of(columns, Count.PAYMENTS_FAILED)
    paid = columns.orders + count_of(columns, Count.RENEWED) + 1.0
    texts = count_of(columns, Count.SENTIMENTS)
    mood = count_of(columns, Count.SENTIMENT_SUM) / np.maximum(texts, 1.0) / SENTIMENT_SCALE
    unresolved = np.maximum(opened - resolved, 0.0)
    return {
        "retention": np.where(columns.purchases > 0, 100.0 * (1.0 - risk), np.nan),
        "engagement": engagement,
        "satisfaction": _satisfaction(columns),
        "support": np.where(opened + resolved > 0, 100.0 / (1.0 + unresolved), np.nan),
        "sentiment": np.where(texts > 0, 50.0 * (1.0 + mood), np.nan),
        "payments": np.where(failures > 0, 100.0 * paid / (paid + 2.0 * failures), np.nan),
    }


def _satisfaction(columns: Columns) -> Floats:
    """Mean of all answers on 0 to 100: ticket satisfaction, stars and CSAT from 1 to 5, NPS."""
    fives = ((Count.SATISFACTIONS, Count.SATISFACTION_SUM), (Count.REVIEWS, Count.STARS_SUM))
    answers, total = count_of(columns, Count.NPS), count_of(columns, Count.NPS_SUM) * 10.0
    for number, summed in (*fives, (Count.CSAT, Count.CSAT_SUM)):
        answers = answers + count_of(columns, number)
        total = total + (count_of(columns, summed) - count_of(columns, number)) * 25.0
    return np.where(answers > 0, total / np.maximum(answers, 1.0), np.nan)
