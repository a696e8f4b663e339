"""The numbers of an assessment, for many customers at once.

Only element-wise operations: the result of a row does not depend on which others are beside it, so
the borders of batches never show. Results are rounded before anybody compares them with a level.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.scoring.domain import gamma_gamma, mbg_nbd
from services.scoring.domain.columns import Buyers, Columns, count_of
from services.scoring.domain.decay import HALF_LIVES_DAYS
from services.scoring.domain.features import HALVES, SENTIMENT_SCALE, Count
from services.scoring.domain.models import Model
from services.scoring.domain.stages import SILENCE_EDGES_DAYS

Floats = NDArray[np.float64]

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

# What shows that there ever was anything of each kind of `Warmth`.
_VISITING = (Count.VISITS, Count.VIEWS, Count.CARTS, Count.CHECKOUTS, Count.CUSTOM)
_RESPONDING = (Count.DELIVERED, Count.OPENED, Count.CLICKED)
_SPEAKING = (Count.REVIEWS, Count.SOCIAL, Count.NPS, Count.CSAT, Count.REFERRALS)
_WARMING = (*_VISITING, *_RESPONDING, *_SPEAKING)
_WARMING_STARTS = (0, len(_VISITING), len(_VISITING) + len(_RESPONDING))

_COMPONENT_DECIMALS = 1
# A search looks at this many days at once, which for few rows costs as much as looking at one;
# three rounds are enough for ten years.
_DAYS_AT_ONCE = 16


def _down(values: Iterable[float]) -> Floats:
    """Numbers as a column, to meet tables with a line for each of them."""
    return np.array([[value] for value in values])


_ENGAGEMENT_WEIGHTS, _HEALTH_WEIGHTS, _WARMTH_SCALES, _HALF_LIVES_DAYS, _STEPS = map(
    _down,
    (
        ENGAGEMENT_WEIGHTS.values(),
        HEALTH_WEIGHTS.values(),
        WARMTH_SCALES.values(),
        HALF_LIVES_DAYS,
        range(1, _DAYS_AT_ONCE + 1),
    ),
)


@dataclass(frozen=True, slots=True)
class Scores:
    """One array a score; NaN in a component means that nothing is known of it.

    Components are tables with a line for each of the weights above. `coming` are the expected
    purchases of the next 365 days, `predicted_12m` (major units) their worth; `tier` is 0 low,
    1 medium, 2 high.
    """

    risk: Floats
    engagement: Floats
    trend: Floats
    engagement_parts: Floats
    health: Floats
    health_parts: Floats
    coming: Floats
    predicted_12m: Floats
    tier: NDArray[np.int64]


def score(columns: Columns, model: Model, horizon_days: int) -> Scores:
    """All scores as of each row's instant."""
    buyers = columns.buyers
    risk = churn_risk(buyers, model, buyers.silent, horizon_days)
    parts = _engagement_parts(columns)
    engagement = _weighted(parts, _ENGAGEMENT_WEIGHTS)
    health_parts = _health_parts(columns, risk, engagement)
    coming = _coming(buyers, model, buyers.silent)
    predicted = _value(buyers, coming, _worth(columns, model))
    return Scores(
        risk=risk,
        engagement=engagement,
        trend=_trend(columns),
        engagement_parts=parts,
        health=_weighted(health_parts, _HEALTH_WEIGHTS),
        health_parts=health_parts,
        coming=coming,
        predicted_12m=predicted,
        tier=_tier(columns, model, predicted),
    )


class Figures(NamedTuple):
    """One row's columns and scores as plain numbers, as far as decisions and pictures need them."""

    purchases: float
    last: float
    silent: float
    orders: float
    net: float
    native: float
    texts: float
    sentiment_sum: float
    risk: float
    engagement: float
    trend: float
    health: float
    coming: float
    predicted_12m: float
    tier: int
    engagement_parts: tuple[float, ...]
    health_parts: tuple[float, ...]


def figures_of(columns: Columns, scores: Scores) -> list[Figures]:
    """The rows again, as they are shown."""
    buyers = columns.buyers
    arrays = (
        buyers.purchases,
        buyers.last,
        buyers.silent,
        columns.orders,
        columns.net,
        columns.native,
        count_of(columns, Count.SENTIMENTS),
        count_of(columns, Count.SENTIMENT_SUM),
        scores.risk,
        scores.engagement,
        scores.trend,
        scores.health,
        scores.coming,
        scores.predicted_12m,
        scores.tier,
    )
    parts = (
        zip(*rounded(one, _COMPONENT_DECIMALS).tolist(), strict=True)
        for one in (scores.engagement_parts, scores.health_parts)
    )
    return [Figures(*row) for row in zip(*(one.tolist() for one in arrays), *parts, strict=True)]


def churn_risk(buyers: Buyers, model: Model, silent: Floats, horizon_days: float) -> Floats:
    """Probability of no purchase within the horizon after `silent` days, to six decimals.

    0 for who never bought: there is no habit that could end, so they lead no list of risks.
    """
    risk = mbg_nbd.no_purchase(model.buying, buyers.repeats, buyers.last, silent, horizon_days)
    return np.where(buyers.purchases > 0, rounded(risk, RISK_DECIMALS), 0.0)


def _coming(buyers: Buyers, model: Model, silent: Floats) -> Floats:
    """Expected purchases of the next 365 days of buyers silent for so long."""
    return mbg_nbd.expected_purchases(model.buying, buyers.repeats, buyers.last, silent, YEAR_DAYS)


def _worth(columns: Columns, model: Model) -> Floats:
    """What a further purchase is worth, major units.

    It is shrunk towards the shop's where both are in one currency; in another it is the customer's
    own mean.
    """
    purchases = columns.buyers.purchases
    mean = columns.net / np.maximum(purchases, 1.0)
    shrunk = gamma_gamma.expected_value(model.spending, purchases, mean)
    return np.where(columns.native > 0, shrunk, np.maximum(mean, 0.0))


def _value(buyers: Buyers, coming: Floats, worth: Floats) -> Floats:
    """Expected net spend of the next 365 days, major units; nothing for who never bought."""
    return np.where(buyers.purchases > 0, rounded(coming * worth, SCORE_DECIMALS), 0.0)


def _tier(columns: Columns, model: Model, predicted: Floats) -> NDArray[np.int64]:
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
    buyers = columns.buyers
    if not np.count_nonzero(buyers.purchases):
        return np.full(len(buyers.purchases), -1)
    today, top = buyers.silent, np.maximum(buyers.silent, SILENCE_MAX_DAYS)
    level = (np.floor(rounded(scores.risk * 100.0, 4)) + 1.0) / 100.0

    def risen(silent: Floats) -> NDArray[np.bool_]:
        return churn_risk(buyers, model, silent, horizon_days) >= level

    day = _first_day(risen, today, top)
    for edge in SILENCE_EDGES_DAYS:
        day = np.where(today < edge, np.minimum(day, edge), day)
    if np.count_nonzero(scores.tier):
        day = np.minimum(day, _fall(columns, model, scores.tier, np.minimum(day, top)))
    known = (buyers.purchases > 0) & np.isfinite(day)
    return np.where(known, day, -1.0).astype(np.int64)


def _fall(columns: Columns, model: Model, tier: NDArray[np.int64], until: Floats) -> Floats:
    """The first day up to `until` on which the value has fallen below its tier; infinite if on
    none. Most have not fallen by then, so only the others are searched."""
    least = np.array((-np.inf, *model.tiers)).take(tier)
    everybody = (*columns.buyers, columns.net, _worth(columns, model), least)

    def fallen(rows: Sequence[Floats], silent: Floats) -> NDArray[np.bool_]:
        buyers, (net, worth, least) = Buyers(*rows[:4]), rows[4:]
        return net + _value(buyers, _coming(buyers, model, silent), worth) < least

    day = np.full_like(until, np.inf)
    (few,) = fallen(everybody, until).nonzero()
    if len(few):
        rows = [one.take(few) for one in everybody]
        today = Buyers(*rows[:4]).silent
        day[few] = _first_day(lambda silent: fallen(rows, silent), today, until.take(few))
    return day


def _first_day(
    true_from: Callable[[Floats], NDArray[np.bool_]], low: Floats, high: Floats
) -> Floats:
    """The first whole day after `low`, up to `high`, on which it is true; infinite if on none.

    `true_from` takes a line of days, one a row, for each of several looks. What is found stays: to
    a row, further rounds for the sake of others change nothing.
    """
    while True:
        days = low + np.ceil((high - low) * _STEPS / _DAYS_AT_ONCE)
        first: Floats = np.minimum.reduce(np.where(true_from(days), days, np.inf))
        low = np.maximum.reduce(np.where(days < first, days, low))
        high = np.minimum(first, high)
        if not np.count_nonzero(high - low > 1.0):
            return first


def _weighted(parts: Floats, weights: Floats) -> Floats:
    """Mean of the known components, their weights renormalised, to two decimals."""
    known = ~np.isnan(parts)
    total = _added(np.where(known, parts, 0.0) * weights)
    mean = total / np.maximum(_added(known * weights), 1e-9)
    return rounded(np.minimum(np.maximum(mean, 0.0), 100.0), SCORE_DECIMALS)


def _added(lines: Floats) -> Floats:
    """The lines of a table added up in their order: numpy's own depends on the number of rows."""
    total: Floats = reduce(np.add, lines)
    return total


def rounded(values: Floats, decimals: int) -> Floats:
    """`np.round`, without its detours."""
    scale = 10.0**decimals
    result: Floats = np.rint(values * scale) / scale
    return result


def _engagement_parts(columns: Columns) -> Floats:
    """0 to 100 each; what was never done at all is not known. Warmth is that of the short
    counters."""
    bought, silent = columns.buyers.purchases, columns.buyers.silent
    recent = np.exp2(-silent / PURCHASE_HALF_LIFE_DAYS)
    ever = np.maximum.reduceat(columns.counts.take(_WARMING, axis=0), _WARMING_STARTS)
    warm = -100.0 * np.expm1(-columns.levels[SHORT::HALVES] / _WARMTH_SCALES)
    return np.concatenate(
        ([100.0 * recent * bought / (bought + 1.0)], np.where(ever > 0, warm, np.nan))
    )


def _trend(columns: Columns) -> Floats:
    """The recent daily rate of engagement against the longer one: -1 fading to 1 rising."""
    by_kind = columns.levels.reshape(-1, HALVES, columns.levels.shape[-1])
    short, long = _added(by_kind) / _HALF_LIVES_DAYS
    both = short + long
    return rounded(np.where(both > 0, (short - long) / np.maximum(both, 1e-300), 0.0), 4)


def _health_parts(columns: Columns, risk: Floats, engagement: Floats) -> Floats:
    opened, resolved = (
        count_of(columns, Count.TICKETS_OPENED),
        count_of(columns, Count.TICKETS_RESOLVED),
    )
    failures = count_of(columns, Count.PAYMENTS_FAILED)
    paid = columns.orders + count_of(columns, Count.RENEWED) + 1.0
    texts = count_of(columns, Count.SENTIMENTS)
    mood = count_of(columns, Count.SENTIMENT_SUM) / np.maximum(texts, 1.0) / SENTIMENT_SCALE
    unresolved = np.maximum(opened - resolved, 0.0)
    return np.array(
        (
            np.where(columns.buyers.purchases > 0, 100.0 * (1.0 - risk), np.nan),
            engagement,
            _satisfaction(columns),
            np.where(opened + resolved > 0, 100.0 / (1.0 + unresolved), np.nan),
            np.where(texts > 0, 50.0 * (1.0 + mood), np.nan),
            np.where(failures > 0, 100.0 * paid / (paid + 2.0 * failures), np.nan),
        )
    )


def _satisfaction(columns: Columns) -> Floats:
    """Mean of all answers on 0 to 100: ticket satisfaction, stars and CSAT from 1 to 5, NPS."""
    fives = ((Count.SATISFACTIONS, Count.SATISFACTION_SUM), (Count.REVIEWS, Count.STARS_SUM))
    answers, total = count_of(columns, Count.NPS), count_of(columns, Count.NPS_SUM) * 10.0
    for number, summed in (*fives, (Count.CSAT, Count.CSAT_SUM)):
        answers = answers + count_of(columns, number)
        total = total + (count_of(columns, summed) - count_of(columns, number)) * 25.0
    return np.where(answers > 0, total / np.maximum(answers, 1.0), np.nan)
