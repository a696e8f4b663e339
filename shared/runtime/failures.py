"""Which failures are the world's (wait and try again) and which are the event's or ours."""

import asyncpg
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from shared.runtime.log import LogUnavailable

_TRANSIENT_DATABASE = (
    asyncpg.PostgresConnectionError,
    asyncpg.InternalClientError,
    asyncpg.OperatorInterventionError,  # shutdown, query cancelled, cannot connect now
    asyncpg.InsufficientResourcesError,  # disk full, too many connections
    asyncpg.PostgresSystemError,  # an input or output error of the server's disk
    asyncpg.TransactionRollbackError,  # serialization failure, deadlock
    asyncpg.LockNotAvailableError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.ReadOnlySQLTransactionError,
)


class Fenced(Exception):
    """Another process has the partition: our expected position was not the stored one."""


class TooManyDeadLetters(Exception):
    """The bound on dead letters is reached: stop and call a person."""


def is_transient(error: BaseException) -> bool:
    """Whether waiting can help: the database or the broker is away, busy or restarting."""
    if isinstance(error, DBAPIError) and error.orig is not None:
        cause = error.orig.__cause__ or error.orig
        return is_transient(cause) or isinstance(error, OperationalError) or _closed(cause)
    if isinstance(error, asyncpg.InterfaceError):
        return _closed(error)  # else it says that a statement was used wrongly
    return isinstance(
        error, (*_TRANSIENT_DATABASE, PoolTimeout, LogUnavailable, OSError, TimeoutError)
    )


def _closed(error: BaseException) -> bool:
    return "closed" in str(error)
