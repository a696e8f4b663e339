"""How far a run is: what it will take, section by section, and what it took."""

import time
from collections.abc import Iterator, Sequence

from bench.plan import Plan


def paced(sections: Sequence[str], plan: Plan) -> Iterator[str]:
    """Hands out one section after the other, and says where the run is before and after each."""
    left = list(sections)
    plan.say(announcement(left, plan))
    for number, section in enumerate(sections, 1):
        where = f"[{number}/{len(sections)}] {section}"
        plan.say(f"{where} begins: {_about(plan, [section])}")
        began = time.monotonic()
        yield section
        left.remove(section)
        remaining = f"; {_about(plan, left)} left" if left else ""
        plan.say(f"{where} took {(time.monotonic() - began) / 60:.1f} min{remaining}")


def announcement(sections: Sequence[str], plan: Plan) -> str:
    """What the whole run is expected to take, and its parts."""
    parts = ", ".join(f"{one} {plan.seconds_of(one) / 60:.0f}" for one in sections)
    return f"Expected on two quiet cores: {_about(plan, sections)} ({parts}), {plan.rounds} rounds"


def _about(plan: Plan, sections: Sequence[str]) -> str:
    if plan.small:
        return "a few minutes at most"
    return f"about {sum(plan.seconds_of(one) for one in sections) / 60:.0f} min"
