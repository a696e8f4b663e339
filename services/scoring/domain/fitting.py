"""A model fitted on a shop's own history: maximum likelihood, shrunk to the prior when small.

The fit is a pure function of the purchases up to a day. Its quality is measured on the last closed
window: a model of what was known a horizon earlier predicts who then bought.
"""

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from services.scoring.domain import gamma_gamma, mbg_nbd
from services.scoring.domain.gamma_gamma import GammaGamma
from services.scoring.domain.mbg_nbd import MbgNbd
from services.scoring.domain.models import PRIOR, Edges, Model, Typical
from services.scoring.domain.scores import YEAR_DAYS

Floats = NDArray[np.float64]

BUYERS_MIN = 50
REPEATERS_MIN = 10
# The prior counts as one observation of each log-parameter with this standard deviation: nothing
# beside thousands of customers, a hold beside a hundred.
PRIOR_DEVIATION = 1.5
# Of the logarithms of r, alpha, a, b. Beyond such a b nobody leaves, and the quadrature over Beta
# posteriors would leave the floats.
BUYING_BOUNDS = ((-7.0, 9.0), (-7.0, 9.0), (-7.0, 6.0), (-7.0, 6.0))
# Of the logarithms of p, q above its minimum, and gamma, which is an amount.
SPENDING_BOUNDS = ((-7.0, 9.0), (-7.0, 9.0), (-12.0, 32.0))
# Leaving costs two parameters; it must explain at least this much more than their number (AIC).
LEAVING_GAIN_MIN = 2.0
Q_MIN = 1.05
_BINS = 10
_FIFTHS = (0.2, 0.4, 0.6, 0.8)
_AT_ONCE = 10_000
_MEDIUM_FROM, _HIGH_FROM = 0.4, 0.8


@dataclass(frozen=True, slots=True)
class History:
    """Buyers as of a day: repeat purchase days, last and observed (days after the first), mean net
    worth of a purchase day in major units."""

    repeats: Floats
    last: Floats
    observed: Floats
    mean: Floats

    @property
    def buyers(self) -> int:
        return len(self.repeats)

    @property
    def repeaters(self) -> int:
        return int(np.count_nonzero(self.repeats))


@dataclass(frozen=True, slots=True)
class TooLittle:
    """Why there was no fit."""

    reason: str


@dataclass(frozen=True, slots=True)
class Fitted:
    """The model, and figures about it."""

    model: Model
    metrics: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Purchases:
    """Purchase days, one array a column: 32 bytes a day, however many a shop has.

    Days of one buyer stand together, ascending. `buyer` numbers the buyers, `day` is since 1970,
    `net` in minor units, `orders` of that day.
    """

    buyer: NDArray[np.int64]
    day: NDArray[np.int64]
    net: Floats
    orders: NDArray[np.int64]

    def until(self, cut: int) -> "Purchases":
        """Those known at the end of day `cut`."""
        known = self.day <= cut
        return Purchases(self.buyer[known], self.day[known], self.net[known], self.orders[known])


class Collector:
    """Takes purchase days as they are read: (customer, day, net minor units, orders), by customer
    and day."""

    def __init__(self) -> None:
        self._last: str | None = None
        self._buyer, self._day, self._orders = array("q"), array("q"), array("q")
        self._net = array("d")

    def add(self, customer: str, day: int, net: float, orders: int) -> None:
        number = self._buyer[-1] if self._buyer else -1
        self._buyer.append(number + (customer != self._last))
        self._day.append(day)
        self._net.append(net)
        self._orders.append(orders)
        self._last = customer

    def done(self) -> Purchases:
        return Purchases(
            np.frombuffer(self._buyer, dtype=np.int64),
            np.frombuffer(self._day, dtype=np.int64),
            np.frombuffer(self._net, dtype=np.float64),
            np.frombuffer(self._orders, dtype=np.int64),
        )


def history_until(purchases: Purchases, cut: int, unit: int) -> History:
    """What was known at the end of day `cut`; `unit` is minor units per major one."""
    known = purchases.until(cut)
    starts = _starts(known)
    number = np.diff(starts, append=len(known.buyer))
    first, last = known.day[starts], known.day[starts + number - 1]
    return History(
        repeats=number - 1.0,
        last=(last - first).astype(np.float64),
        observed=(cut - first).astype(np.float64),
        mean=_sums(known.net, starts) / unit / number,
    )


def _starts(purchases: Purchases) -> NDArray[np.int64]:
    """Where each buyer's days begin."""
    return np.flatnonzero(np.diff(purchases.buyer, prepend=-1))


def _sums(values: NDArray[Any], starts: NDArray[np.int64]) -> Floats:
    """A buyer's values added up."""
    if not len(starts):
        return np.zeros(0)
    return np.asarray(np.add.reduceat(values, starts), dtype=np.float64)


def fit(
    purchases: Purchases,
    *,
    name: str,
    cut: int,
    horizon_days: int,
    currency: str,
    unit: int,
) -> Fitted | TooLittle:
    """The model of a shop as of day `cut` (since 1970); `unit` is minor units per major one."""
    history = history_until(purchases, cut, unit)
    if history.buyers < BUYERS_MIN or history.repeaters < REPEATERS_MIN:
        return TooLittle(
            f"{history.buyers} buyers of whom {history.repeaters} came back; "
            f"{BUYERS_MIN} and {REPEATERS_MIN} are needed"
        )
    buying, likelihood = fit_buying(history)
    spending = fit_spending(history)
    known = purchases.until(cut)
    orders = _sums(known.orders, _starts(known))
    model = _with_edges(name, buying, spending, history, orders, currency)
    metrics: dict[str, Any] = {
        "buyers": history.buyers,
        "repeaters": history.repeaters,
        "log_likelihood": round(likelihood, 3),
        "nobody_leaves": buying.a <= 0,
        "holdout": _holdout(purchases, history, cut, horizon_days, unit),
    }
    return Fitted(model, metrics)


def fit_buying(history: History, *, deviation: float = PRIOR_DEVIATION) -> tuple[MbgNbd, float]:
    """MBG/NBD and its log-likelihood; the NBD limit when leaving explains nothing.

    `deviation` infinite is plain maximum likelihood.
    """
    data = (history.repeats, history.last, history.observed)
    prior = np.log([PRIOR.buying.r, PRIOR.buying.alpha, PRIOR.buying.a, PRIOR.buying.b])

    def leaving(point: Floats) -> tuple[float, Floats]:
        model = MbgNbd(*map(float, np.exp(point)))
        value = float(mbg_nbd.log_likelihood(model, *data).sum())
        return value, mbg_nbd.gradient(model, *data).sum(axis=1)

    def staying(point: Floats) -> float:
        r, alpha = map(float, np.exp(point))
        return float(mbg_nbd.log_likelihood(MbgNbd(r, alpha, 0.0, 1.0), *data).sum())

    best = _climb(leaving, prior, deviation, BUYING_BOUNDS)
    limit = _climb(
        lambda point: (staying(point), _slope(staying, point)),
        prior[:2],
        deviation,
        BUYING_BOUNDS[:2],
    )
    found, without = leaving(best)[0], staying(limit)
    if found - without < LEAVING_GAIN_MIN:
        r, alpha = map(float, np.exp(limit))
        return MbgNbd(r, alpha, 0.0, 1.0), without
    return MbgNbd(*map(float, np.exp(best))), found


def fit_spending(history: History, *, deviation: float = PRIOR_DEVIATION) -> GammaGamma:
    """Gamma-Gamma on buyers whose purchases were worth something."""
    worth = history.mean > 0
    if np.count_nonzero(worth) < BUYERS_MIN:
        return PRIOR.spending
    number, mean = history.repeats[worth] + 1.0, history.mean[worth]
    start = PRIOR.spending
    # The prior says how values vary, not how dear a shop is: its scale follows the shop's mean.
    scale = float(np.average(mean, weights=number)) * (start.q - 1.0) / start.p
    prior = np.log([start.p, start.q - Q_MIN, scale])

    def value(point: Floats) -> float:
        p, q, gamma = map(float, np.exp(point))
        return float(
            gamma_gamma.log_likelihood(GammaGamma(p, q + Q_MIN, gamma), number, mean).sum()
        )

    best = _climb(
        lambda point: (value(point), _slope(value, point)), prior, deviation, SPENDING_BOUNDS
    )
    p, q, gamma = map(float, np.exp(best))
    return GammaGamma(p, q + Q_MIN, gamma)


def _climb(
    climbed: Callable[[Floats], tuple[float, Floats]],
    start: Floats,
    deviation: float,
    bounds: Sequence[tuple[float, float]],
) -> Floats:
    """The log-parameters with the highest posterior density, within bounds.

    `ArithmeticError` when the search leaves the numbers.
    """

    def downhill(point: Floats) -> tuple[float, Floats]:
        value, slope = climbed(point)
        away = (point - start) / deviation
        return float(0.5 * (away**2).sum() - value), away / deviation - slope

    found = optimize.minimize(downhill, start, jac=True, method="L-BFGS-B", bounds=bounds)
    point: Floats = np.asarray(found.x, dtype=np.float64)
    if not np.all(np.isfinite(point)):
        raise ArithmeticError("the fit left the numbers")
    return point


def _slope(value: Callable[[Floats], float], point: Floats, width: float = 1e-5) -> Floats:
    """Central differences."""
    slopes = []
    for axis in range(len(point)):
        step = np.zeros_like(point)
        step[axis] = width
        slopes.append((value(point + step) - value(point - step)) / (2 * width))
    return np.array(slopes)


def _with_edges(
    name: str,
    buying: MbgNbd,
    spending: GammaGamma,
    history: History,
    orders: Floats,
    currency: str,
) -> Model:
    """The shop's fifths, value tiers and median buyer."""
    silent, number = history.observed - history.last, history.repeats + 1.0
    spent = history.mean * number
    worth = gamma_gamma.expected_value(spending, number, history.mean)
    coming = _coming(buying, history, silent)
    total = spent + coming * worth
    again = history.repeats > 0
    gaps = history.last[again] / history.repeats[again]
    medium, high = (float(np.quantile(total, one)) for one in (_MEDIUM_FROM, _HIGH_FROM))
    return Model(
        name=name,
        buying=buying,
        spending=spending,
        edges=Edges(_fifths(silent), _fifths(orders), _fifths(spent)),
        tiers=(round(medium, 2), round(max(high, medium), 2)),
        typical=Typical(float(np.median(number)), max(1.0, float(np.median(gaps)))),
        currency=currency,
    )


def _coming(buying: MbgNbd, history: History, silent: Floats) -> Floats:
    """Purchases expected within a year, some customers at a time: each takes a dozen numbers."""
    some = [slice(at, at + _AT_ONCE) for at in range(0, len(silent), _AT_ONCE)]
    return np.concatenate(
        [
            mbg_nbd.expected_purchases(
                buying, history.repeats[one], history.last[one], silent[one], YEAR_DAYS
            )
            for one in some
        ]
    )


def _fifths(values: Floats) -> tuple[float, float, float, float]:
    edges = [round(float(np.quantile(values, one)), 2) for one in _FIFTHS]
    return edges[0], edges[1], edges[2], edges[3]


def _holdout(
    purchases: Purchases, now: History, cut: int, horizon_days: int, unit: int
) -> dict[str, Any] | None:
    """How a model of the day one horizon earlier predicted who did not buy since."""
    history = history_until(purchases, cut - horizon_days, unit)
    if history.buyers < BUYERS_MIN or history.repeaters < REPEATERS_MIN:
        return None
    buying, _ = fit_buying(history)
    silent = history.observed - history.last
    risk = mbg_nbd.no_purchase(buying, history.repeats, history.last, silent, horizon_days)
    known_then = now.observed >= horizon_days
    stayed_away = (now.observed - now.last >= horizon_days)[known_then]
    return {"horizon_days": horizon_days, **quality(risk, stayed_away)}


def quality(risk: Floats, happened: NDArray[np.bool_]) -> dict[str, float | int | None]:
    """Log-loss, Brier score, area under the curve, expected calibration error (ten equal bins)."""
    clipped = np.clip(risk, 1e-6, 1 - 1e-6)
    truth = happened.astype(np.float64)
    loss = -(truth * np.log(clipped) + (1 - truth) * np.log1p(-clipped)).mean()
    order = np.argsort(risk, kind="stable")
    bins = [part for part in np.array_split(order, _BINS) if len(part)]
    error = sum(len(one) * abs(risk[one].mean() - truth[one].mean()) for one in bins) / len(risk)
    return {
        "customers": len(risk),
        "rate": round(float(truth.mean()), 4),
        "log_loss": round(float(loss), 4),
        "brier": round(float(((risk - truth) ** 2).mean()), 4),
        "auc": _area(risk, happened),
        "ece": round(float(error), 4),
    }


def _area(risk: Floats, happened: NDArray[np.bool_]) -> float | None:
    """Chance that one it happened to had the higher risk; ties count half (Mann-Whitney)."""
    positives = int(np.count_nonzero(happened))
    negatives = len(risk) - positives
    if not positives or not negatives:
        return None
    _, place, counts = np.unique(risk, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    area = (ranks[happened].sum() - positives * (positives + 1) / 2) / (positives * negatives)
    return round(float(area), 4)
