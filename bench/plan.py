"""How much is measured: sizes of a real run, and of one that only shows that everything works."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

Say = Callable[[str], None]
Side = TypeVar("Side")
# Fewer rounds say too little to be kept.
ROUNDS_MIN = 5
# On two quiet cores, by section: seconds besides the rounds, and seconds a round.
DURATIONS: Mapping[str, tuple[float, float]] = {
    "intake": (60, 35),
    "scoring": (155, 67),
    "latency": (140, 88),
    "growth": (165, 70),
    "memory": (535, 0),
}


def silent(_line: str) -> None:
    """Nobody listens."""


def turns(sides: Sequence[Side], number: int) -> list[Side]:
    """Who is measured first in a round changes from round to round."""
    start = number % len(sides)
    return [*sides[start:], *sides[:start]]


@dataclass(frozen=True, slots=True)
class Plan:
    """Counts are events unless their name says otherwise; each side has its own, for its pace."""

    rounds: int = ROUNDS_MIN
    # Sizes whose figures mean nothing.
    small: bool = False
    # Rounds before those that count: servers compile and caches fill.
    warm_rounds: int = 1
    say: Say = field(default=silent)

    intake_requests_single: int = 20_000
    intake_requests_batch: int = 1_000
    intake_batch: int = 100
    intake_connections: int = 64

    scoring_customers: int = 100_000
    scoring_events: int = 90_000
    scoring_naive_events: int = 3_000
    scoring_quix_events: int = 10_000
    # At most so many of the real log's; it has about 24,000.
    scoring_real_events: int = 30_000

    latency_seconds: float = 12.0
    latency_rates: tuple[int, ...] = (100, 1_000)

    growth_customers: tuple[int, int] = (10_000, 500_000)
    growth_events: int = 90_000

    memory_seconds: float = 480.0
    memory_stretch_events: int = 40_000
    memory_batch: int = 250

    @property
    def is_kept(self) -> bool:
        """Whether the figures are worth keeping."""
        return not self.small and self.rounds >= ROUNDS_MIN

    def seconds_of(self, section: str) -> float:
        """About how long a section takes."""
        fixed, a_round = DURATIONS[section]
        return fixed + a_round * self.rounds


def quick(rounds: int, say: Say) -> Plan:
    """Everything once, small: figures without meaning."""
    return Plan(
        rounds=rounds,
        small=True,
        warm_rounds=0,
        say=say,
        intake_requests_single=1_500,
        intake_requests_batch=60,
        scoring_customers=2_000,
        scoring_events=4_000,
        scoring_naive_events=150,
        scoring_quix_events=400,
        scoring_real_events=300,
        latency_seconds=2.0,
        latency_rates=(50,),
        growth_customers=(1_000, 4_000),
        growth_events=3_000,
        memory_seconds=20.0,
        memory_stretch_events=2_000,
        memory_batch=100,
    )
