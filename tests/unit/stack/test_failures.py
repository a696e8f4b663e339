"""What the outside world does to us is one line; a defect of ours keeps its traceback."""

import errno
import subprocess

import asyncpg
import pytest
from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError

from shared.runtime.log import LogUnavailable, WrongPartitions
from stack.errors import StackError
from stack.failures import during, explained, first_line
from stack.settings import StackSettings


def wrapped(cause: Exception) -> DBAPIError:
    """As SQLAlchemy raises what asyncpg raised: with its own advice below."""
    adapted = Exception(f"{type(cause)}: {cause}")
    adapted.__cause__ = cause
    return DBAPIError("CREATE SCHEMA loyalty", {}, adapted)


CASES: list[tuple[BaseException, str]] = [
    (wrapped(asyncpg.InsufficientPrivilegeError("permission denied for database x")), "permission"),
    (asyncpg.InvalidPasswordError("password authentication failed"), "password authentication"),
    (asyncpg.UndefinedTableError('relation "keys" does not exist'), "`tenure migrate`"),
    (asyncpg.DiskFullError("could not extend file"), "Free some space"),
    (CommandError("Can't locate revision identified by '9999'"), "The schema is not of this"),
    (LogUnavailable("cannot join: nobody"), "Kafka does not answer: cannot join"),
    (WrongPartitions("topic x has 3 partitions, not 12"), "has 3 partitions"),
    (TimeoutError(), "No answer (TimeoutError)"),
    (ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed"), "Connect call failed"),
    (OSError(errno.ENOSPC, "No space left", "/data/x"), "The disk is full (/data/x)"),
    (OSError(errno.EROFS, "Read-only file system", "/data/x"), "/data/x cannot be used"),
    (subprocess.TimeoutExpired("prepare", 300), "did not end within 300 s"),
    (ExceptionGroup("two", [ValueError("noise"), LogUnavailable("gone")]), "Kafka does not"),
]


@pytest.mark.parametrize(("error", "said"), CASES, ids=lambda one: type(one).__name__)
def test_a_failure_of_the_world_is_one_line(error: BaseException, said: str) -> None:
    told = explained(error)
    assert told is not None
    assert said in str(told)
    assert "\n" not in str(told)
    assert "Background on this error" not in str(told)
    assert told.remedy


def test_a_setting_is_named_without_the_library_s_url() -> None:
    with pytest.raises(ValueError, match="kafka_heap_mb") as refused:
        StackSettings(kafka_heap_mb=1)
    told = explained(refused.value)
    assert told is not None
    assert "KAFKA_HEAP_MB is not valid" in str(told)
    assert "https://" not in str(told)


def test_what_was_going_on_is_said_with_it() -> None:
    with (
        pytest.raises(StackError, match=r"^The key could not be stored: no answer \("),
        during("The key could not be stored"),
    ):
        raise TimeoutError


@pytest.mark.parametrize("defect", [KeyError("x"), ValueError("x"), OSError(errno.EBADF, "x")])
def test_a_defect_is_not_dressed_up(defect: Exception) -> None:
    assert explained(defect) is None
    with pytest.raises(type(defect)), during("Something"):
        raise defect


def test_an_error_without_words_is_told_by_its_kind() -> None:
    assert first_line(TimeoutError()) == "TimeoutError"
    assert first_line(ValueError("\n  first.\nsecond")) == "first"
