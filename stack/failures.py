"""Failures of the outside world in one line each, for the commands and for what they start.

A full disk, a broker that was killed, a database without rights or with a newer release's schema:
a person has to settle them, so they are told as a `StackError`. Everything else is a defect of ours
and keeps its traceback.
"""

import contextlib
import errno
import subprocess
from collections.abc import Iterator

from stack.errors import StackError

# What an operating system says about a place where we may not or cannot write.
_PLACE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.EDQUOT, errno.ENOTDIR, errno.EISDIR}


@contextlib.contextmanager
def during(what: str) -> Iterator[None]:
    """Within: a failure of the outside world becomes « {what}: why. Way out. »"""
    try:
        yield
    except Exception as error:
        told = explained(error)
        if told is None:
            raise
        raise StackError(f"{what}: {_lower(told.message)}", told.remedy) from error


def explained(error: BaseException) -> StackError | None:
    """The line and the way out; None for a defect."""
    if isinstance(error, StackError):
        return error
    if isinstance(error, BaseExceptionGroup):
        told = [one for one in map(explained, error.exceptions) if one is not None]
        return told[0] if told else None
    if isinstance(error, subprocess.TimeoutExpired):
        return StackError(f"It did not end within {error.timeout:.0f} s.", "Is the machine busy?")
    for known in (_of_a_setting, _of_kafka, _of_the_database, _of_the_system):
        if (line := known(error)) is not None:
            return line
    return None


def first_line(error: BaseException) -> str:
    """What an error says, without a library's advice below it; its kind when it is silent."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else type(error).__name__


def _of_the_system(error: BaseException) -> StackError | None:
    if not isinstance(error, OSError):
        return None
    if error.errno == errno.ENOSPC:
        place = error.filename or "while writing"
        return StackError(f"The disk is full ({place}).", "Free some space.")
    if error.errno in _PLACE and error.filename:
        return StackError(
            f"{error.filename} cannot be used: {error.strerror}.",
            "Mend its rights, or choose another place with --data-dir.",
        )
    if isinstance(error, TimeoutError | ConnectionError):
        return StackError(
            f"No answer ({first_line(error)}).", "Is `tenure up` running, and the address right?"
        )
    return None


# Libraries are imported only now: a command that goes well never loads them for this.


def _of_a_setting(error: BaseException) -> StackError | None:
    from pydantic import ValidationError

    if not isinstance(error, ValidationError) or not error.title.endswith("Settings"):
        return None
    first = error.errors(include_url=False, include_input=False)[0]
    name = ".".join(map(str, first["loc"])).upper()
    return StackError(
        f"The setting {name} is not valid: {first['msg']}.", "See docs/settings.md for its limits."
    )


def _of_kafka(error: BaseException) -> StackError | None:
    from shared.runtime.log import LogUnavailable, WrongPartitions

    if isinstance(error, LogUnavailable):
        return StackError(
            f"Kafka does not answer: {first_line(error)}.",
            "Is `tenure up` running, and TENURE_KAFKA right?",
        )
    if isinstance(error, WrongPartitions):
        return StackError(f"{first_line(error)}.", "Services refuse to start on it.")
    return None


def _of_the_database(error: BaseException) -> StackError | None:
    import asyncpg
    from alembic.util import CommandError
    from sqlalchemy.exc import ArgumentError, DBAPIError

    if isinstance(error, DBAPIError) and error.orig is not None:
        cause = error.orig.__cause__ or error.orig
        return explained(cause) or StackError(f"The database: {first_line(cause)}.", "See its log.")
    if isinstance(error, CommandError):
        return StackError(
            f"The schema is not of this release ({first_line(error)}).",
            "Use the release of Tenure that wrote it, or another database.",
        )
    if isinstance(error, ArgumentError | asyncpg.InterfaceError):
        return StackError(
            f"The database's address is not valid: {first_line(error)}.",
            "It reads postgresql://user:password@host:port/name (TENURE_DATABASE_URL).",
        )
    if isinstance(error, asyncpg.PostgresError):
        return StackError(f"The database refuses: {first_line(error)}.", _way_out(error))
    return None


def _way_out(error: BaseException) -> str:
    import asyncpg

    if isinstance(error, asyncpg.UndefinedTableError | asyncpg.InvalidSchemaNameError):
        return "Run `tenure migrate` first."
    if isinstance(error, asyncpg.DiskFullError):
        return "Free some space on the database's disk."
    return "Check the database's address and rights."


def _lower(sentence: str) -> str:
    """A sentence after a colon; names keep their capitals."""
    head = sentence.split(" ", 1)[0]
    return sentence[:1].lower() + sentence[1:] if head in {"The", "No", "It"} else sentence
