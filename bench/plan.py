"""How much is measured: sizes of a real run, and of one that only shows that everything works."""

from collections.abc import Callable
from dataclasses import dataclass, field

Say = Callable[[str], None]


def silent(_line: str) -> None:
    """Nobody listens."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Counts are events unless their name says otherwise; each side has its own, for its pace."""

    rounds: int = 5
    # Rounds before those that count: servers compile and caches fill.
    warm_rounds: int = 1
    say: Say = field(default=silent)

    intake_requests_single: int = 20_000
    intake_requests_batch: int = 1_000
    intake_batch: int = 100
    intake_connections: int = 64

    scoring_customers: int = 100_000
    scoring_events: int = 60_000
    scoring_naive_events: int = 3_000
    scoring_quix_events: int = 10_000

    latency_seconds: float = 20.0
    latency_rates: tuple[int, ...] = (100, 1_000)

    growth_customers: tuple[int, int] = (10_000, 500_000)
    growth_events: int = 60_000

    memory_events: int = 1_500_000
    memory_batch: int = 250
    memory_stretches: int = 30


def quick(rounds: int, say: Say) -> Plan:
    """Everything once, small: figures without meaning."""
    return Plan(
        rounds=rounds,
        warm_rounds=0,
        say=say,
        intake_requests_single=1_500,
        intake_requests_batch=60,
        scoring_customers=2_000,
        scoring_events=4_000,
        scoring_naive_events=150,
        scoring_quix_events=400,
        latency_seconds=2.0,
        latency_rates=(50,),
        growth_customers=(1_000, 4_000),
        growth_events=3_000,
        memory_events=6_000,
        memory_batch=100,
        memory_stretches=3,
    )
