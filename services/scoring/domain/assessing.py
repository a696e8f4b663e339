"""The whole picture of customers, for those that are published or asked for."""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from math import isnan
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from services.scoring.domain import mbg_nbd
from services.scoring.domain.columns import Buyers, buyers_of, turned
from services.scoring.domain.drivers import Split, contributions, drivers_of
from services.scoring.domain.features import SENTIMENT_SCALE
from services.scoring.domain.models import Model
from services.scoring.domain.orders import amount_of
from services.scoring.domain.scores import (
    ENGAGEMENT_WEIGHTS,
    HEALTH_WEIGHTS,
    MONTH_DAYS,
    YEAR_DAYS,
    Figures,
    rounded,
)
from services.scoring.domain.standing import Standing
from shared.ids import CustomerId
from shared.money import exponent

Floats = NDArray[np.float64]
# Of next year's spend: the central 80 %.
INTERVAL = np.array([[0.1], [0.9]])
# Below this chance of any order within a year no date is named.
RETURN_CHANCE_MIN = 0.1
_HORIZONS_DAYS = np.array([[YEAR_DAYS], [MONTH_DAYS]])


class Subject(NamedTuple):
    """Whom a picture is of, as of when, in which currency, where they stand, and their figures."""

    customer_id: CustomerId
    as_of: datetime
    currency: str
    standing: Standing
    figures: Figures


class Details(NamedTuple):
    """What only a full picture needs of a row. `expected_days` is NaN for no date."""

    low: float
    high: float
    expected_days: float
    probability_30d: float
    split: Split


def details_of(figures: Sequence[Figures], model: Model, horizon_days: int) -> list[Details]:
    """The rest of the figures, for at least one row."""
    purchases, last, silent, coming, predicted = turned(
        ((one.purchases, one.last, one.silent, one.coming, one.predicted_12m) for one in figures),
        width=5,
    )
    buyers = buyers_of(purchases, last, silent)
    returns, soon = _buys_within(buyers, model, _HORIZONS_DAYS)
    spend = _value_quantiles(buyers, model, returns, coming, predicted)
    days = _expected_days(buyers, model, returns)
    splits = contributions(buyers, model, horizon_days)
    listed = (*spend.tolist(), days.tolist(), rounded(soon, 6).tolist(), splits)
    return [Details(*row) for row in zip(*listed, strict=True)]


def _buys_within(buyers: Buyers, model: Model, days: Floats) -> Floats:
    """Probability of a purchase within `days`; 0 for who never bought."""
    silent_until = mbg_nbd.no_purchase(
        model.buying, buyers.repeats, buyers.last, buyers.silent, days
    )
    return np.where(buyers.purchases > 0, np.maximum(1.0 - silent_until, 0.0), 0.0)


def _expected_days(buyers: Buyers, model: Model, returns: Floats) -> Floats:
    """Whole days until half of those have bought who do so within a year."""
    days = mbg_nbd.median_wait(model.buying, buyers.repeats, buyers.last, buyers.silent, YEAR_DAYS)
    return np.where(returns >= RETURN_CHANCE_MIN, np.ceil(days), np.nan)


def _value_quantiles(
    buyers: Buyers, model: Model, returns: Floats, coming: Floats, predicted: Floats
) -> Floats:
    """Both ends of the interval of next year's spend: nothing with the chance of no order, else a
    gamma.

    The gamma has the right mean; its variation adds those of the number of purchases (Poisson,
    and of the rate's posterior) and of their worth, as if independent.
    """
    chance = np.maximum(returns, 1e-9)
    mean, number = predicted / chance, np.maximum(coming / chance, 1e-6)
    worth = 1.0 / (model.spending.p * np.maximum(buyers.purchases, 1.0) + model.spending.q)
    shape = 1.0 / (1.0 / number + 1.0 / (model.buying.r + buyers.repeats) + worth)
    within = (INTERVAL - (1.0 - returns)) / chance
    bounded = np.minimum(np.maximum(within, 0.0), 1.0 - 1e-9)
    value = special.gammaincinv(shape, bounded) * mean / shape
    return np.where((within > 0) & (mean > 0), rounded(value, 2), 0.0)


Picture = dict[str, Any]
"""An `Assessment` as plain data, in the order of its fields; what is absent is left out."""


def pictures_of(subjects: Sequence[Subject], model: Model, horizon_days: int) -> Iterator[Picture]:
    """One picture for each subject, made when it is asked for: a batch of them is large."""
    if not subjects:
        return
    details = details_of([one.figures for one in subjects], model, horizon_days)
    for subject, more in zip(subjects, details, strict=True):
        yield _picture(subject, more, model, horizon_days)


def _picture(subject: Subject, details: Details, model: Model, horizon_days: int) -> Picture:
    standing, figures = subject.standing, subject.figures
    warm = zip(ENGAGEMENT_WEIGHTS, figures.engagement_parts, strict=True)
    well = zip(HEALTH_WEIGHTS, figures.health_parts, strict=True)
    return {
        "customer_id": subject.customer_id,
        "as_of": subject.as_of,
        "churn": {
            "risk": figures.risk,
            "band": standing.band,
            "horizon_days": horizon_days,
            "drivers": _drivers(figures, details.split, model),
        },
        "engagement": {
            "score": figures.engagement,
            "trend": figures.trend,
            "components": {name: part for name, part in warm if not isnan(part)},
        },
        "health": {
            "score": figures.health,
            "band": standing.health_band,
            "components": {name: None if isnan(part) else part for name, part in well},
        },
        "rfm": _rfm(figures, model, subject.currency),
        "clv": _clv(subject, details),
        "next_order": _next_order(subject.as_of, details),
        "sentiment": _sentiment(figures),
        "segment": standing.segment,
        "lifecycle": standing.lifecycle,
        "model": model.name,
    }


def _drivers(figures: Figures, split: Split, model: Model) -> list[Picture]:
    if figures.purchases == 0:
        return []
    return drivers_of(split, int(figures.purchases), int(figures.silent), model.typical)


def _clv(subject: Subject, details: Details) -> Picture:
    currency, figures = subject.currency, subject.figures
    unit = 10 ** exponent(currency)
    low, high = details.low * unit, details.high * unit
    return {
        "historic": amount_of(figures.net * unit, currency),
        "predicted_12m": amount_of(figures.predicted_12m * unit, currency),
        "interval": [amount_of(low, currency), amount_of(high, currency)],
        "tier": subject.standing.tier,
        "currency": currency,
    }


def _rfm(figures: Figures, model: Model, currency: str) -> Picture:
    edges = model.edges
    r = 5 - bisect_left(edges.recency_days, figures.silent) if figures.purchases else 1
    f = 1 + bisect_left(edges.frequency, figures.orders)
    m = 1 + bisect_left(edges.monetary, figures.net) if figures.native else 1
    return {
        **({"recency_days": figures.silent} if figures.purchases else {}),
        "frequency": int(figures.orders),
        "monetary": amount_of(figures.net * 10 ** exponent(currency), currency),
        "r": r,
        "f": f,
        "m": m,
        "cell": f"{r}{f}{m}",
    }


def _next_order(as_of: datetime, details: Details) -> Picture:
    days, chance = details.expected_days, {"probability_30d": details.probability_30d}
    return chance if isnan(days) else {"expected_at": as_of + timedelta(days=days), **chance}


def _sentiment(figures: Figures) -> Picture:
    texts = int(figures.texts)
    if not texts:
        return {"count": 0}
    return {"score": round(figures.sentiment_sum / texts / SENTIMENT_SCALE, 4), "count": texts}
