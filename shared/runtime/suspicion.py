"""Tells an event that outlasts every limit from a database that is slow for all.

A statement that was cancelled, or a wait that ran out, is at first the world's failure: it is tried
again. When it happens time and again at the same positions, while the database answers in between,
it is the records' own, and they are tried one by one. Waiting for a lock is never their fault, nor
is a lost connection.
"""

from collections import Counter
from collections.abc import Iterable, Mapping

import asyncpg
from sqlalchemy.exc import DBAPIError

from shared.runtime.log import TopicPartition

_LIMITS = (asyncpg.QueryCanceledError, asyncpg.IdleInTransactionSessionTimeoutError, OSError)


def may_be_the_events(error: BaseException) -> bool:
    """Whether a failure that waiting can help may come from what a handler was given."""
    if isinstance(error, DBAPIError) and error.orig is not None:
        return may_be_the_events(error.orig.__cause__ or error.orig)
    return isinstance(error, _LIMITS) and not isinstance(error, ConnectionError)


class Suspicion:
    """How often the records at a partition's position have failed in that way."""

    def __init__(self, failures_max: int) -> None:
        self._failures_max = failures_max
        self._failures: Counter[TopicPartition] = Counter()
        self._excused = False

    def failed(self, partitions: Iterable[TopicPartition]) -> None:
        """A batch of these partitions failed as a poisoned event would make it fail."""
        self._failures.update(partitions)

    def moved(self, partitions: Iterable[TopicPartition]) -> None:
        """These were handled: whatever comes next is new."""
        for partition in partitions:
            self._failures.pop(partition, None)
        self._excused = False

    def loaded(
        self, before: Mapping[TopicPartition, int], now: Mapping[TopicPartition, int]
    ) -> None:
        """Forgets partitions that are not where they were, or no longer ours."""
        self._failures = Counter(
            {one: n for one, n in self._failures.items() if before.get(one) == now.get(one, -1)}
        )

    def clear(self) -> None:
        """The database did not answer: nothing that failed meanwhile says anything."""
        self._failures.clear()

    def is_ripe(self, partitions: Iterable[TopicPartition]) -> bool:
        """Whether records of one of these are to be tried one by one."""
        return any(self._failures[one] >= self._failures_max for one in partitions)

    def excuse(self) -> bool:
        """Whether trying one by one may count as progress: once, until something moves."""
        first, self._excused = not self._excused, True
        return first
