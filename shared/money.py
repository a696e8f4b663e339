"""Money: decimal amounts with an ISO 4217 currency, never floats."""

from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Decimal

# Currencies whose minor unit is not a hundredth (ISO 4217:2015, exponents 0 and 3).
_NO_MINOR_UNIT = (
    "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG",
    "RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF", "XPF",
)  # fmt: skip
_THOUSANDTHS = ("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND")
_EXPONENTS = dict.fromkeys(_NO_MINOR_UNIT, 0) | dict.fromkeys(_THOUSANDTHS, 3)


def exponent(currency: str) -> int:
    """Decimal places of a currency's minor unit: 2 unless ISO 4217 says otherwise."""
    return _EXPONENTS.get(currency, 2)


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in one currency. Adding two currencies is a `ValueError`."""

    amount: Decimal
    currency: str

    def __add__(self, other: "Money") -> "Money":
        return Money(self.amount + self._same(other).amount, self.currency)

    def __sub__(self, other: "Money") -> "Money":
        return Money(self.amount - self._same(other).amount, self.currency)

    def rounded(self) -> "Money":
        """To the currency's minor unit, half to even."""
        unit = Decimal(1).scaleb(-exponent(self.currency))
        return Money(self.amount.quantize(unit, rounding=ROUND_HALF_EVEN), self.currency)

    def whole_units(self) -> int:
        """Whole units of the currency, towards zero: 12.99 GBP is 12."""
        return int(self.amount.to_integral_value(rounding=ROUND_DOWN))

    def _same(self, other: "Money") -> "Money":
        if other.currency != self.currency:
            raise ValueError(f"cannot combine {self.currency} with {other.currency}")
        return other
