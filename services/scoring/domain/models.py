"""The model in force: parameters, the shop's edges and its typical customer, and the prior."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from services.scoring.domain.gamma_gamma import GammaGamma
from services.scoring.domain.mbg_nbd import MbgNbd


@dataclass(frozen=True, slots=True)
class Edges:
    """Upper bounds of the four lower fifths; the fifth has none."""

    recency_days: tuple[float, float, float, float]
    frequency: tuple[float, float, float, float]
    monetary: tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Typical:
    """The shop's median buyer: purchase days, and days between them."""

    purchases: float
    gap_days: float


@dataclass(frozen=True, slots=True)
class Model:
    """All that turns a state into scores. `tiers` are the values from which medium and high begin.

    Amounts are in major units of `currency`; None means any of `LIKE_EURO`.
    """

    name: str
    buying: MbgNbd
    spending: GammaGamma
    edges: Edges
    tiers: tuple[float, float]
    typical: Typical
    currency: str | None = None

    def counts_in(self, currency: str) -> bool:
        """Whether amounts in a currency can be compared with the model's."""
        return currency in LIKE_EURO if self.currency is None else currency == self.currency


# Currencies whose unit has long been worth between half a euro and two: what the prior's amounts
# hold for, roughly. Of others nothing is known before the shop's own history tells.
LIKE_EURO = frozenset({"AUD", "CAD", "CHF", "EUR", "GBP", "NZD", "SGD", "USD"})

# Before a shop has a history: of those who buy once about 40 in 100 come back within 90 days, who
# stays buys every 75 days or so, a purchase is worth about 40. Figures of the order of published
# fits to non-contractual retail; a fit on the shop's own history replaces them.
PRIOR = Model(
    name="prior",
    buying=MbgNbd(r=0.8, alpha=60.0, a=0.8, b=2.5),
    spending=GammaGamma(p=4.0, q=4.0, gamma=30.0),
    edges=Edges(
        recency_days=(14.0, 45.0, 90.0, 180.0),
        frequency=(1.0, 2.0, 4.0, 8.0),
        monetary=(50.0, 150.0, 400.0, 1_000.0),
    ),
    tiers=(150.0, 500.0),
    typical=Typical(purchases=2.0, gap_days=60.0),
)


def to_plain(model: Model) -> dict[str, Any]:
    """As JSON can hold it."""
    return asdict(model)


def from_plain(plain: Mapping[str, Any]) -> Model:
    """The model that `to_plain` wrote."""
    edges = plain["edges"]
    return Model(
        name=plain["name"],
        buying=MbgNbd(**plain["buying"]),
        spending=GammaGamma(**plain["spending"]),
        edges=Edges(**{name: tuple(values) for name, values in edges.items()}),
        tiers=(plain["tiers"][0], plain["tiers"][1]),
        typical=Typical(**plain["typical"]),
        currency=plain["currency"],
    )
