"""An endpoint's rate limit, as one instant: the generic cell rate algorithm.

Source: ITU-T I.371, GCRA (virtual scheduling). The stored instant is when the endpoint's calls so
far would all be done at its pace; a call may go while that is less than a second ahead.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

_BURST = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class Pace:
    """`per_second` calls at most; `paid_until` is the algorithm's theoretical arrival time."""

    per_second: int
    paid_until: datetime | None = None

    def allowance(self, now: datetime) -> int:
        """How many calls may go now: up to one second's worth at once."""
        ahead = max(timedelta(0), self._base(now) - now)
        return max(0, int((_BURST - ahead) / _BURST * self.per_second + 1e-9))

    def after(self, calls: int, now: datetime) -> "Pace":
        """The pace once these calls have gone."""
        return Pace(self.per_second, self._base(now) + _BURST * calls / self.per_second)

    def _base(self, now: datetime) -> datetime:
        return now if self.paid_until is None else max(self.paid_until, now)
