"""How many records a batch may have: more while there is lag, fewer when it takes too long."""

import pytest

from shared.runtime.pace import paced
from shared.runtime.settings import RuntimeSettings

SETTINGS = RuntimeSettings(
    batch_records_max=1_000, batch_seconds_target=0.05, batch_seconds_max=1.0
)


@pytest.mark.parametrize(
    ("before", "records", "seconds", "after"),
    [
        (100, 100, 0.01, 200),  # quick and full: more
        (800, 800, 0.05, 1_000),  # … up to the setting
        (100, 49, 0.01, 100),  # quick but nothing waits: as it was
        (1_000, 1_000, 0.1, 500),  # slower than the target: fewer
        (1_000, 1_000, 0.9, 250),  # … but not fewer than steady
        (100, 100, 0.5, 200),  # a busy machine does not push it below steady
        (200, 200, 0.5, 250),
        (250, 250, 0.5, 250),
        (250, 250, 2.0, 125),  # far too long: fewer whatever it costs
        (20, 20, 60.0, 10),  # … down to the least
    ],
)
def test_the_next_batch_follows_from_the_last(
    before: int, records: int, seconds: float, after: int
) -> None:
    assert paced(before, records, seconds, SETTINGS) == after


def test_a_setting_below_the_steady_size_holds() -> None:
    settings = RuntimeSettings(batch_records_max=7)

    assert paced(10, 10, 0.5, settings) == 7


def test_a_machine_that_was_busy_is_forgotten_once_it_is_not() -> None:
    records = 10
    for _ in range(10):
        records = paced(records, records, 0.02, SETTINGS)

    assert records == 1_000
