"""MBG/NBD: how often customers buy and when they silently leave (Batislam et al. 2007).

While alive a customer buys at a rate λ ~ Gamma(r, alpha) per day and leaves with probability
p ~ Beta(a, b) at the start and after each purchase. Unlike BG/NBD, one-time buyers may have left.
With a = 0 nobody leaves: the NBD limit, to which fits on some shops degenerate.

Given x repeat purchases in the first `tx` days, silence until t days after the last one has
probability S(t) = π + (1 - π) q(t), with π = a / (a + b + x) and
q(t) = ((alpha + tx) / (alpha + tx + t))^(r + x).
So the probability of no purchase in the next h days is S(t + h) / S(t), which grows with t: a
mixture of constant hazards, some of them zero, has a falling hazard.

Arrays are float64 of one length. `silent` and horizons, and all arguments of `no_purchase`, may be
tables with a column for each customer.
Only element-wise operations are used, so that a row's result does not depend on its neighbours.
"""

from dataclasses import dataclass
from functools import lru_cache, reduce

import numpy as np
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[np.float64]

_NODES = 12
# Beyond this many purchases the posterior of p hardly moves; its nodes are tabulated up to here.
_REPEATS_TABULATED = 200
_EXPONENT_MAX = 690.0


@dataclass(frozen=True, slots=True)
class MbgNbd:
    """Shape r and rate alpha (days) of the buying rates; a and b of the leaving probabilities."""

    r: float
    alpha: float
    a: float
    b: float


def no_purchase(
    model: MbgNbd, repeats: Floats, last: Floats, silent: Floats, horizon: float | Floats
) -> Floats:
    """Probability of no purchase within `horizon` days, after `silent` days without one.

    `last` is the time of the last purchase, in days after the first one.
    """
    shape, rate = -(model.r + repeats), model.alpha + last
    now, then = (shape * np.log1p(days / rate) for days in (silent, silent + horizon))
    left = _odds_left(model, repeats, now)
    result: Floats = (left + np.exp(then - now)) / (left + 1.0)
    return result


def alive(model: MbgNbd, repeats: Floats, last: Floats, silent: Floats) -> Floats:
    """Probability that the customer has not left for good."""
    log_q = -(model.r + repeats) * np.log1p(silent / (model.alpha + last))
    result: Floats = 1.0 / (1.0 + _odds_left(model, repeats, log_q))
    return result


def expected_purchases(
    model: MbgNbd, repeats: Floats, last: Floats, silent: Floats, days: float
) -> Floats:
    """Expected purchases in the next `days`.

    Alive, with rate λ and leaving probability p, a customer makes (1 - exp(-λ p d)) / p purchases;
    the mean over λ is closed, the mean over p is a Gauss-Jacobi sum over its Beta posterior.
    """
    shape = model.r + repeats
    rate = model.alpha + last + silent
    if model.a <= 0:
        result: Floats = shape / rate * days
        return result
    tabulated = np.minimum(repeats, _REPEATS_TABULATED).astype(np.int64)
    lines = (_NODES, *(1 for _ in silent.shape[1:]), -1)
    p, weight = (
        table.take(tabulated, axis=1).reshape(lines) for table in _leaving_nodes(model.a, model.b)
    )
    at_nodes = weight * -np.expm1(-shape * np.log1p(p * days / rate)) / p
    # Added in their order: that in which numpy sums an axis depends on the number of rows.
    total: Floats = reduce(np.add, at_nodes)
    return alive(model, repeats, last, silent) * total


def median_wait(
    model: MbgNbd, repeats: Floats, last: Floats, silent: Floats, days: float
) -> Floats:
    """Days in which half of those have bought who buy within the next `days`.

    Closed, because leaving scales the chance of buying alike for all horizons.
    """
    shape, rate = model.r + repeats, model.alpha + last + silent
    none = np.exp(-shape * np.log1p(days / rate))
    result: Floats = rate * np.expm1(-np.log((1.0 + none) / 2.0) / shape)
    return result


def log_likelihood(model: MbgNbd, repeats: Floats, last: Floats, observed: Floats) -> Floats:
    """Per customer; `observed` is the days from the first purchase to the end of the window."""
    r, alpha, a, b = model.r, model.alpha, model.a, model.b
    shape = r + repeats
    counting = special.gammaln(shape) - special.gammaln(r) + r * np.log(alpha)
    staying = -shape * np.log(alpha + observed)
    if a <= 0:
        result: Floats = counting + staying
        return result
    leaving = -shape * np.log(alpha + last)
    choosing = (
        special.gammaln(b + repeats)
        - special.gammaln(b)
        + special.gammaln(a + b)
        - special.gammaln(a + b + repeats + 1)
    )
    either = np.logaddexp(np.log(a) + leaving, np.log(b + repeats) + staying)
    return np.asarray(counting + choosing + either)


def gradient(model: MbgNbd, repeats: Floats, last: Floats, observed: Floats) -> Floats:
    """Derivatives of `log_likelihood` by the logarithms of r, alpha, a and b: (4, customers)."""
    r, alpha, a, b = model.r, model.alpha, model.a, model.b
    shape, psi = r + repeats, special.psi
    gone = np.log(a) - shape * np.log(alpha + last)
    here = np.log(b + repeats) - shape * np.log(alpha + observed)
    left = special.expit(gone - here)
    stayed = 1.0 - left
    both = psi(a + b) - psi(a + b + repeats + 1)
    by_r = (
        psi(shape)
        - psi(r)
        + np.log(alpha)
        - left * np.log(alpha + last)
        - stayed * np.log(alpha + observed)
    )
    by_alpha = r / alpha - shape * (left / (alpha + last) + stayed / (alpha + observed))
    by_a = both + left / a
    by_b = psi(b + repeats) - psi(b) + both + stayed / (b + repeats)
    return np.stack([r * by_r, alpha * by_alpha, a * by_a, b * by_b])


def _odds_left(model: MbgNbd, repeats: Floats, log_q: Floats) -> Floats:
    """Odds of having left against being alive after this silence."""
    growth = np.exp(np.minimum(-log_q, _EXPONENT_MAX))
    result: Floats = model.a / (model.b + repeats) * growth
    return result


@lru_cache(maxsize=16)
def _leaving_nodes(a: float, b: float) -> tuple[Floats, Floats]:
    """Nodes and weights over p ~ Beta(a, b + x + 1), by node and x."""
    nodes = np.empty((_NODES, _REPEATS_TABULATED + 1))
    weights = np.empty_like(nodes)
    for repeats in range(_REPEATS_TABULATED + 1):
        at, weight = special.roots_jacobi(_NODES, b + repeats, a - 1.0)
        nodes[:, repeats] = np.maximum((1.0 + at) / 2.0, 1e-12)
        weights[:, repeats] = weight / weight.sum()
    return nodes, weights
