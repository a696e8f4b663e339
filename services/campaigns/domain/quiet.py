"""Quiet hours on the customer's own clock, right on the days it is moved."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from services.campaigns.domain.policy import QuietHours, zone_problem


def zone_of(name: str | None, default: str) -> ZoneInfo:
    """The zone of this name, or the shop's when there is none or nobody knows it."""
    if name is None or zone_problem(name) is not None:
        return ZoneInfo(default)
    return ZoneInfo(name)


def quiet_until(hours: QuietHours, zone: ZoneInfo, as_of: datetime) -> datetime | None:
    """When the silence that `as_of` lies in ends (UTC), or None when it lies in none.

    A local time that the clock skips or shows twice has two readings: silence begins at the
    earlier and ends at the later one, so nobody is woken in the hour that is repeated.
    """
    today = as_of.astimezone(zone).date()
    overnight = timedelta(days=1 if hours.end <= hours.start else 0)
    for offset in (-1, 0, 1):
        day = today + timedelta(days=offset)
        begins = min(_readings(datetime.combine(day, hours.start), zone))
        ends = max(_readings(datetime.combine(day + overnight, hours.end), zone))
        if begins <= as_of < ends:
            return ends
    return None


def _readings(local: datetime, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Both instants that a local time may mean (PEP 495); the same one nearly always."""
    return (
        local.replace(tzinfo=zone, fold=0).astimezone(UTC),
        local.replace(tzinfo=zone, fold=1).astimezone(UTC),
    )


def local_time(instant: datetime, zone: ZoneInfo) -> time:
    """The time on the customer's clock, to the minute."""
    return instant.astimezone(zone).time().replace(second=0, microsecond=0, tzinfo=None)
