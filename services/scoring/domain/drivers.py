"""Why a risk is what it is: exact contributions in log-odds, in words with numbers.

The risk is compared with that of the shop's typical customer on the day of an order. The difference
is split into silence (this customer now, against this customer on the day of the last order), how
often they bought, and how far apart (the mean of both orders of exchanging the two, their Shapley
value). The three add up exactly; silence never lowers a risk, so its direction is always right.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.scoring.domain import mbg_nbd
from services.scoring.domain.columns import Buyers
from services.scoring.domain.models import Model, Typical

Floats = NDArray[np.float64]
_EDGE = 1e-9
_DECIMALS = 4


class Split(NamedTuple):
    """One customer's contributions, in log-odds, and the mean days between purchases."""

    recency: float
    frequency: float
    rhythm: float
    gap: float


def contributions(buyers: Buyers, model: Model, horizon_days: int) -> list[Split]:
    """The split for many customers; nothing where nothing was ever bought."""
    bought, repeats = buyers.purchases > 0, buyers.repeats
    usual_repeats = np.full_like(repeats, max(model.typical.purchases - 1.0, 0.0))
    usual_gap = model.typical.gap_days
    gap = np.where(repeats > 0, buyers.last / np.maximum(repeats, 1.0), usual_gap)
    still = np.zeros_like(repeats)
    now, fresh, usual, more_often, wider = _logits(
        model,
        np.array([repeats, repeats, usual_repeats, repeats, usual_repeats]),
        np.array(
            [
                buyers.last,
                repeats * gap,
                usual_repeats * usual_gap,
                repeats * usual_gap,
                usual_repeats * gap,
            ]
        ),
        np.array([buyers.silent, still, still, still, still]),
        horizon_days,
    )
    recency = now - fresh
    frequency = ((more_often - usual) + (fresh - wider)) / 2.0
    rhythm = ((wider - usual) + (fresh - more_often)) / 2.0
    split = np.where(bought, np.array([recency, frequency, rhythm]), 0.0)
    return [Split(*row) for row in zip(*split.tolist(), gap.tolist(), strict=True)]


def _logits(
    model: Model, repeats: Floats, last: Floats, silent: Floats, horizon_days: int
) -> Floats:
    risk = mbg_nbd.no_purchase(model.buying, repeats, last, silent, horizon_days)
    risk = np.minimum(np.maximum(risk, _EDGE), 1.0 - _EDGE)
    result: Floats = np.log(risk) - np.log1p(-risk)
    return result


def drivers_of(split: Split, purchases: int, silent: int, typical: Typical) -> list[dict[str, Any]]:
    """The reasons of a customer with at least one purchase, the strongest first: `Driver`s as
    plain data."""
    found = [
        _driver("recency", silent, split.recency, _silence(silent, split.gap, purchases)),
        _driver("frequency", purchases, split.frequency, _often(purchases, typical)),
    ]
    if purchases > 1:
        words = f"orders about every {split.gap:.0f} days; typical is {typical.gap_days:.0f}"
        found.append(_driver("rhythm", round(split.gap, 1), split.rhythm, words))
    found.sort(key=lambda one: (-abs(one["contribution"]), one["signal"]))
    return found


def _driver(signal: str, value: float, contribution: float, text: str) -> dict[str, Any]:
    return {
        "signal": signal,
        "value": value,
        "contribution": round(contribution, _DECIMALS),
        "text": text,
    }


def _silence(silent: int, gap: float, purchases: int) -> str:
    if silent == 0:
        return "ordered today"
    words = f"has not ordered for {silent} day{'s' if silent != 1 else ''}"
    return f"{words}; usually every {gap:.0f}" if purchases > 1 else words


def _often(purchases: int, typical: Typical) -> str:
    days = "day" if purchases == 1 else "days"
    return f"has ordered on {purchases} {days}; typical is {typical.purchases:.0f}"
