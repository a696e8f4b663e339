"""The whole picture of customers, for those that are published or asked for."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import isnan
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from services.scoring.domain import mbg_nbd
from services.scoring.domain.columns import Columns, count_of
from services.scoring.domain.drivers import Contributions, Split, contributions, drivers_of
from services.scoring.domain.features import SENTIMENT_SCALE, Count
from services.scoring.domain.models import Model
from services.scoring.domain.orders import amount_of
from services.scoring.domain.scores import MONTH_DAYS, YEAR_DAYS, Scores, score
from services.scoring.domain.standing import Standing
from shared.ids import CustomerId
from shared.money import exponent

Floats = NDArray[np.float64]
INTERVAL = (0.1, 0.9)
# Below this chance of any order within a year no date is named.
RETURN_CHANCE_MIN = 0.1
_COMPONENT_DECIMALS = 1


class Subject(NamedTuple):
    """Whom a row is about, as of when, in which currency, and where they stand."""

    customer_id: CustomerId
    as_of: datetime
    currency: str
    standing: Standing


@dataclass(frozen=True, slots=True)
class Details:
    """What only a full picture needs, one array a figure. `expected_days` is NaN for no date."""

    low: Floats
    high: Floats
    expected_days: Floats
    probability_30d: Floats
    split: Contributions


def details_of(columns: Columns, scores: Scores, model: Model, horizon_days: int) -> Details:
    """The rest of the figures, for the rows of `columns`."""
    returns = _buys_within(columns, model, YEAR_DAYS)
    low, high = (_value_quantile(columns, scores, model, returns, one) for one in INTERVAL)
    return Details(
        low=low,
        high=high,
        expected_days=_expected_days(columns, model, returns),
        probability_30d=np.round(_buys_within(columns, model, MONTH_DAYS), 6),
        split=contributions(columns, model, horizon_days),
    )


def _buys_within(columns: Columns, model: Model, days: float | Floats) -> Floats:
    """Probability of a purchase within `days`; 0 for who never bought."""
    silent_until = mbg_nbd.no_purchase(
        model.buying,
        columns.repeats,
        columns.last,
        columns.silent,
        days,
    )
    return np.where(columns.purchases > 0, np.clip(1.0 - silent_until, 0.0, 1.0), 0.0)


def _expected_days(columns: Columns, model: Model, returns: Floats) -> Floats:
    """Median days until the next purchase, of those who buy within a year, by bisection."""
    low, high = np.zeros_like(returns), np.full_like(returns, YEAR_DAYS)
    for _ in range(int(YEAR_DAYS).bit_length()):
        middle = np.floor((low + high) / 2.0)
        there = _buys_within(columns, model, middle) >= returns / 2.0
        low, high = np.where(there, low, middle), np.where(there, middle, high)
    return np.where(returns >= RETURN_CHANCE_MIN, high, np.nan)


def _value_quantile(
    columns: Columns, scores: Scores, model: Model, returns: Floats, quantile: float
) -> Floats:
    """A quantile of next year's spend: nothing with the chance of no order, else a gamma.

    The gamma has the right mean; its variation adds those of the number of purchases (Poisson,
    and of the rate's posterior) and of their worth, as if independent.
    """
    chance = np.maximum(returns, 1e-9)
    mean = scores.predicted_12m / chance
    number = np.maximum(
        mbg_nbd.expected_purchases(
            model.buying, columns.repeats, columns.last, columns.silent, YEAR_DAYS
        )
        / chance,
        1e-6,
    )
    worth = 1.0 / (model.spending.p * np.maximum(columns.purchases, 1.0) + model.spending.q)
    shape = 1.0 / (1.0 / number + 1.0 / (model.buying.r + columns.repeats) + worth)
    within = (quantile - (1.0 - returns)) / chance
    value = special.gammaincinv(shape, np.clip(within, 0.0, 1.0 - 1e-9)) * mean / shape
    return np.where((within > 0) & (mean > 0), np.round(value, 2), 0.0)


class Cell(NamedTuple):
    """One row's figures as plain numbers: of columns, scores and details, in this order.

    `parts` are the components of engagement, then of health; NaN means that nothing is known.
    """

    purchases: float
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
    predicted_12m: float
    low: float
    high: float
    expected_days: float
    probability_30d: float
    recency: float
    frequency: float
    rhythm: float
    gap: float
    parts: tuple[float, ...]


Picture = dict[str, Any]
"""An `Assessment` as plain data, in the order of its fields; what is absent is left out."""


def pictures_of(
    subjects: Sequence[Subject], columns: Columns, model: Model, horizon_days: int
) -> list[Picture]:
    """One picture for each row."""
    if not subjects:
        return []
    scores = score(columns, model, horizon_days)
    cells = _cells(columns, scores, details_of(columns, scores, model, horizon_days))
    names = (tuple(scores.engagement_parts), tuple(scores.health_parts))
    return [
        _picture(subject, cell, names, model, horizon_days)
        for subject, cell in zip(subjects, cells, strict=True)
    ]


def _cells(columns: Columns, scores: Scores, details: Details) -> list[Cell]:
    figures = (
        columns.purchases,
        columns.silent,
        columns.orders,
        columns.net,
        columns.native,
        count_of(columns, Count.SENTIMENTS),
        count_of(columns, Count.SENTIMENT_SUM),
        scores.risk,
        scores.engagement,
        scores.trend,
        scores.health,
        scores.predicted_12m,
        details.low,
        details.high,
        details.expected_days,
        details.probability_30d,
        details.split.recency,
        details.split.frequency,
        details.split.rhythm,
        details.split.gap,
    )
    parts = (*scores.engagement_parts.values(), *scores.health_parts.values())
    listed = [figure.tolist() for figure in figures]
    return [Cell(*row) for row in zip(*listed, _rows(parts), strict=True)]


def _rows(parts: Sequence[Floats]) -> list[tuple[float, ...]]:
    return list(zip(*(np.round(part, _COMPONENT_DECIMALS).tolist() for part in parts), strict=True))


def _picture(
    subject: Subject,
    cell: Cell,
    names: tuple[tuple[str, ...], tuple[str, ...]],
    model: Model,
    horizon_days: int,
) -> Picture:
    standing, split = subject.standing, len(names[0])
    warm = zip(names[0], cell.parts[:split], strict=True)
    well = zip(names[1], cell.parts[split:], strict=True)
    return {
        "customer_id": subject.customer_id,
        "as_of": subject.as_of,
        "churn": {
            "risk": cell.risk,
            "band": standing.band,
            "horizon_days": horizon_days,
            "drivers": _drivers(cell, model),
        },
        "engagement": {
            "score": cell.engagement,
            "trend": cell.trend,
            "components": {name: part for name, part in warm if not isnan(part)},
        },
        "health": {
            "score": cell.health,
            "band": standing.health_band,
            "components": {name: None if isnan(part) else part for name, part in well},
        },
        "rfm": _rfm(cell, model, subject.currency),
        "clv": _clv(cell, subject),
        "next_order": _next_order(subject.as_of, cell),
        "sentiment": _sentiment(cell),
        "segment": standing.segment,
        "lifecycle": standing.lifecycle,
        "model": model.name,
    }


def _drivers(cell: Cell, model: Model) -> list[Picture]:
    if cell.purchases == 0:
        return []
    split = Split(cell.recency, cell.frequency, cell.rhythm, cell.gap)
    return drivers_of(split, int(cell.purchases), int(cell.silent), model.typical)


def _clv(cell: Cell, subject: Subject) -> Picture:
    currency = subject.currency
    unit = 10 ** exponent(currency)
    return {
        "historic": amount_of(cell.net * unit, currency),
        "predicted_12m": amount_of(cell.predicted_12m * unit, currency),
        "interval": [amount_of(cell.low * unit, currency), amount_of(cell.high * unit, currency)],
        "tier": subject.standing.tier,
        "currency": currency,
    }


def _rfm(cell: Cell, model: Model, currency: str) -> Picture:
    edges = model.edges
    r = 5 - bisect_left(edges.recency_days, cell.silent) if cell.purchases else 1
    f = 1 + bisect_left(edges.frequency, cell.orders)
    m = 1 + bisect_left(edges.monetary, cell.net) if cell.native else 1
    return {
        **({"recency_days": cell.silent} if cell.purchases else {}),
        "frequency": int(cell.orders),
        "monetary": amount_of(cell.net * 10 ** exponent(currency), currency),
        "r": r,
        "f": f,
        "m": m,
        "cell": f"{r}{f}{m}",
    }


def _next_order(as_of: datetime, cell: Cell) -> Picture:
    days, chance = cell.expected_days, {"probability_30d": cell.probability_30d}
    return chance if isnan(days) else {"expected_at": as_of + timedelta(days=days), **chance}


def _sentiment(cell: Cell) -> Picture:
    texts = int(cell.texts)
    if not texts:
        return {"count": 0}
    return {"score": round(cell.sentiment_sum / texts / SENTIMENT_SCALE, 4), "count": texts}
