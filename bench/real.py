"""A real shop's orders and refunds (UCI Online Retail), where its log is at hand.

It holds orders only, no visits, so it takes no part in comparisons; it shows that a real order,
with twenty lines on average, costs what the simulated ones promise.
"""

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from bench.shop import Happening
from stack.demo.online_retail import OnlineRetail, load
from stack.demo.retail_log import FILE_NAME

# Where tests and measurements look for real data.
DATA = Path(os.environ.get("TENURE_DATA", Path(__file__).parents[2] / "shared" / "data"))


def find(folder: Path = DATA) -> OnlineRetail | None:
    """The log; None where there is none."""
    path = folder / FILE_NAME
    return load(path) if path.exists() else None


def orders(log: OnlineRetail, *, seed: str, count: int) -> Iterator[Happening]:
    """At most `count` of its orders and refunds, as those of other customers for every seed."""
    for one in islice(log.happenings(), count):
        data = {**one.data, "order_id": f"{seed}-{one.data['order_id']}"}
        yield Happening(f"{seed}-{one.id}", one.type, f"{seed}-{one.person}", one.at, data)
