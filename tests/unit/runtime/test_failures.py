"""Which failures are waited out, and what a log tells of any."""

import asyncpg
import pytest
from sqlalchemy.exc import TimeoutError as PoolTimeout

from shared.runtime.dead import DeadBound
from shared.runtime.failures import is_transient
from shared.runtime.log import LogUnavailable
from shared.runtime.telemetry import _stack, told


@pytest.mark.parametrize(
    "error",
    [
        PoolTimeout("QueuePool limit of size 8 overflow 0 reached"),
        asyncpg.InterfaceError("connection is closed"),
        asyncpg.PostgresIOError("could not read block 3"),
        asyncpg.DiskFullError("no space left on device"),
        asyncpg.QueryCanceledError("canceling statement due to statement timeout"),
        LogUnavailable("refused"),
        ConnectionResetError(),
    ],
)
def test_what_passes_by_itself_is_waited_out(error: Exception) -> None:
    assert is_transient(error)


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.InterfaceError("the server expects 2 arguments for this query, 1 was passed"),
        asyncpg.UniqueViolationError("duplicate key"),
        asyncpg.DataError("invalid input for query argument $1"),
        ValueError("anything"),
    ],
)
def test_what_would_fail_again_is_not(error: Exception) -> None:
    assert not is_transient(error)


def test_logs_tell_where_and_what_but_never_a_persons_data() -> None:
    try:
        try:
            raise KeyError("bob@example.com")
        except KeyError as inner:
            raise ValueError("the row (bob@example.com, Bob) is wrong") from inner
    except ValueError as error:
        line, stack = told(error), _stack((type(error), error, error.__traceback__))
    assert line["error"] == "ValueError"
    assert line["at"].startswith("test_failures.py:")
    assert "KeyError" in stack
    assert "bob@" not in f"{line}{stack}".replace('raise KeyError("bob@example.com")', "").replace(
        'raise ValueError("the row (bob@example.com, Bob) is wrong") from inner', ""
    )


def test_a_batch_that_was_rolled_back_does_not_count_against_the_bound() -> None:
    bound = DeadBound(ratio_max=0.1, count_min=20)
    assert all(bound.allows(applied=1, dead=2) for _ in range(50))
    bound.count(applied=1, dead=19)
    assert not bound.allows(applied=0, dead=1)
