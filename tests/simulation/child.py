"""A worker process for the fault tests: `python -m tests.simulation.child VARIANT REPLICA PORT`.

`ours` is the counting service on the real runtime, others lack a part of it (`variants.py`), and
`naive` is the textbook recipe.
"""

import os
import sys

from shared.runtime.app import run
from tests.simulation import naive
from tests.simulation.variants import variant


def main() -> int:
    recipe, replica, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
    if recipe == "naive":
        naive.main(
            os.environ["TENURE_DATABASE_URL"],
            os.environ["TENURE_KAFKA"],
            replica,
            int(os.environ["LOYALTY_BATCH_RECORDS_MAX"]),
        )
        return 0
    return run(variant(recipe), roles=frozenset({"consumer", "jobs"}), port=port, replica=replica)


if __name__ == "__main__":
    sys.exit(main())
