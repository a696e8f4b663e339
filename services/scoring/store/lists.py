"""SQL of lists: customers by filters, in pages that start where the last one ended."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from services.scoring.store.people import Driver
from shared.ids import CustomerId
from shared.runtime.http import Problem

Sort = Literal["customer_id", "churn_risk", "clv"]

# For each order: the key, and what comes after a position. Descending ones walk their index back.
_KEYS: dict[str, str] = {
    "customer_id": "''",
    "churn_risk": "churn_risk",
    "clv": "clv_predicted_12m",
}
_SIZES = "SELECT segment, count(*) AS customers FROM assessments GROUP BY segment"


@dataclass(frozen=True, slots=True)
class Filters:
    """Equalities; None lets all through."""

    segment: str | None = None
    band: str | None = None
    lifecycle: str | None = None
    clv_tier: str | None = None

    def conditions(self) -> list[tuple[str, str]]:
        """(column, value) of those that are set."""
        columns = {
            "segment": self.segment,
            "churn_band": self.band,
            "lifecycle": self.lifecycle,
            "clv_tier": self.clv_tier,
        }
        return [(name, value) for name, value in columns.items() if value is not None]


async def list_customers(
    driver: Driver, filters: Filters, sort: Sort, after: Sequence[Any] | None, limit: int
) -> list[tuple[CustomerId, float | str]]:
    """(customer, sort key) from after a position (key, customer); a foreign one is a 422."""
    key = _KEYS[sort]
    values: list[Any] = [limit]
    conditions = []
    for column, value in filters.conditions():
        values.append(value)
        conditions.append(f"{column} = ${len(values)}")
    if after is not None:
        values += _position(sort, after)
        conditions.append(_beyond(sort, len(values)))
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    order = "customer_id" if sort == "customer_id" else f"{key} DESC, customer_id DESC"
    # Only names from this file go into the text; what callers send are parameters.
    query = f"SELECT customer_id, {key} AS key FROM assessments {where} ORDER BY {order} LIMIT $1"  # noqa: S608
    return [(row["customer_id"], row["key"]) for row in await driver.fetch(query, *values)]


async def segment_sizes(driver: Driver) -> dict[str, int]:
    """How many customers each segment has."""
    return {row["segment"]: row["customers"] for row in await driver.fetch(_SIZES)}


def _beyond(sort: Sort, last: int) -> str:
    if sort == "customer_id":
        return f"customer_id > ${last}"
    return f"({_KEYS[sort]}, customer_id) < (${last - 1}::float8, ${last})"


def _position(sort: Sort, after: Sequence[Any]) -> list[Any]:
    """What a cursor stands for; one that PostgreSQL could not be asked with is a 422."""
    key, customer = after
    try:
        # Half a surrogate pair is a ValueError already.
        if not isinstance(customer, str) or b"\x00" in customer.encode():
            raise ValueError("not an id")
        if sort == "customer_id":
            return [customer]
        if type(key) not in {int, float}:
            raise ValueError("a position in another order")
        return [float(key), customer]
    except (ValueError, OverflowError):
        raise Problem(422, "the cursor is not one of ours") from None
