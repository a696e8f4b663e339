"""Gamma-Gamma: what a purchase of a customer is worth (Fader, Hardie 2013).

Each purchase is Gamma(p, nu) with nu ~ Gamma(q, gamma) over customers, so a customer's mean is
shrunk towards the shop's. Amounts are in major units of one currency.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class GammaGamma:
    """Shape p of a purchase; shape q (above 1, else there is no mean) and scale gamma."""

    p: float
    q: float
    gamma: float


def expected_value(model: GammaGamma, purchases: Floats, mean: Floats) -> Floats:
    """Expected worth of a further purchase of customers with this many of this mean worth."""
    worth = model.gamma + purchases * np.maximum(mean, 0.0)
    result: Floats = model.p * worth / (model.p * purchases + model.q - 1.0)
    return result


def log_likelihood(model: GammaGamma, purchases: Floats, mean: Floats) -> Floats:
    """Per customer with at least one purchase and a mean above zero."""
    p, q, gamma = model.p, model.q, model.gamma
    shape = p * purchases
    result: Floats = (
        special.gammaln(shape + q)
        - special.gammaln(shape)
        - special.gammaln(q)
        + q * np.log(gamma)
        + (shape - 1.0) * np.log(mean)
        + shape * np.log(purchases)
        - (shape + q) * np.log(gamma + mean * purchases)
    )
    return result
