"""The span of time that a metric is about: whole days in UTC."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Period:
    """From the start of `first` (inclusive) to the start of `end` (exclusive), in UTC."""

    first: date
    end: date

    @property
    def starts_at(self) -> datetime:
        return midnight(self.first)

    @property
    def ends_at(self) -> datetime:
        return midnight(self.end)

    @property
    def days(self) -> int:
        return (self.end - self.first).days


class NotAPeriod(ValueError):
    """The span that was asked for is empty, backwards or too long."""


def midnight(day: date) -> datetime:
    """The first instant of a day in UTC."""
    return datetime.combine(day, time(), UTC)


def period(
    first: datetime | date | None,
    end: datetime | date | None,
    now: datetime,
    *,
    days_default: int,
    days_max: int,
) -> Period:
    """What `from` and `to` mean. An instant within a day stands for that whole day.

    Without `to` the period ends after today; without `from` it is `days_default` days long.
    Raises `NotAPeriod`.
    """
    try:
        last = _upwards(end) if end is not None else _upwards(now + timedelta(microseconds=1))
        start = _downwards(first) if first is not None else last - timedelta(days=days_default)
    except OverflowError:
        raise NotAPeriod("the calendar has no such day") from None
    if start >= last:
        raise NotAPeriod("`from` must be before `to`")
    if (last - start).days > days_max:
        raise NotAPeriod(f"at most {days_max} days at once")
    return Period(start, last)


def _downwards(given: datetime | date) -> date:
    return given.astimezone(UTC).date() if isinstance(given, datetime) else given


def _upwards(given: datetime | date) -> date:
    day = _downwards(given)
    within = isinstance(given, datetime) and given.astimezone(UTC) > midnight(day)
    return day + _DAY if within else day
