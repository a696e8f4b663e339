"""A simulated shop: seeded, with customers who have hidden rhythms and answer interventions.

The history of every customer follows from the seed alone. Only the answers to interventions depend
on what Tenure does and when; they have a seed of their own (the intervention's id), so they do not
disturb anything else.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from random import Random
from zlib import crc32

from stack.demo.happening import Happening, Intervention
from stack.demo.life import Life
from stack.demo.people import Person, draw_people

STARTS_AT = datetime(2025, 1, 6, tzinfo=UTC)
DAYS = 424
CUSTOMERS = 2_000
ORDERS_AFTER_RETURN_MAX = 3


@dataclass(slots=True)
class SimulatedShop:
    """Iterate `happenings()` once; call `react` between steps."""

    seed: int = 7
    customers: int = CUSTOMERS
    starts_at: datetime = STARTS_AT
    days: int = DAYS
    now: datetime = STARTS_AT
    reactions: int = 0
    _people: dict[str, Person] = field(default_factory=dict)
    _answers: list[tuple[datetime, int, Happening]] = field(default_factory=list)

    @property
    def title(self) -> str:
        return f"a simulated shop (seed {self.seed}, {self.customers:,} customers)"

    @property
    def ends_at(self) -> datetime:
        return self.starts_at + timedelta(days=self.days)

    @property
    def not_sent(self) -> dict[str, int]:
        return {}

    @property
    def answers(self) -> bool:
        return True

    def happenings(self) -> Iterator[Happening]:
        """Everything that happens, in time order, with answers to interventions woven in."""
        people = draw_people(self.seed, self.customers, self.starts_at, self.ends_at)
        self._people = {person.id: person for person in people}
        lives = (self._life(person) for person in people)
        for happening in heapq.merge(*lives, self._referrals(people), key=attrgetter("at")):
            while self._answers and self._answers[0][0] <= happening.at:
                yield self._moved(heapq.heappop(self._answers)[2])
            yield self._moved(happening)
        while self._answers:
            yield self._moved(heapq.heappop(self._answers)[2])

    def react(self, intervention: Intervention) -> None:
        """The customer reads, perhaps, and comes back, perhaps; it may end a silence."""
        person = self._people.get(intervention.customer_id)
        if person is None:
            return
        rng = Random(f"{self.seed}:{intervention.id}")
        ids, orders = f"sim{self.seed}-{intervention.id}", f"R{crc32(intervention.id.encode()):08x}"
        answer = Life(person, rng, ids, f"{orders}-{person.number:05d}", self.ends_at)
        at = max(self.now, intervention.at) + timedelta(hours=rng.uniform(0.1, 20))
        if intervention.channel == "email" and intervention.message_id:
            _read(answer, at, intervention.message_id)
        elif intervention.channel != "task":
            return
        if rng.random() < person.responds:
            self.reactions += 1
            _come_back(answer, at, intervention.offer)
        for happening in answer.until(self.ends_at):
            heapq.heappush(self._answers, (happening.at, len(self._answers), happening))

    def _moved(self, happening: Happening) -> Happening:
        self.now = happening.at
        return happening

    def _life(self, person: Person) -> Iterator[Happening]:
        rng = Random(f"{self.seed}:life:{person.number}")
        ids, orders = f"sim{self.seed}-{person.id}", f"W-{person.number:05d}"
        life = Life(person, rng, ids, orders, self.ends_at)
        return life.happenings(self.starts_at)

    def _referrals(self, people: list[Person]) -> Iterator[Happening]:
        """The moments at which advocates name their friends."""
        friends = [person for person in people if person.advocate]
        for friend in sorted(friends, key=lambda person: person.joined_at):
            advocate = self._people[str(friend.advocate)]
            yield Happening(
                at=friend.joined_at - timedelta(days=3),
                id=f"sim{self.seed}-{friend.id}-R",
                type="referral.made",
                person=advocate.id,
                data={"referral_code": advocate.referral_code, "referred_id": friend.id},
                customer_id=advocate.id,
            )


def _read(answer: Life, at: datetime, message_id: str) -> None:
    message = {"message_id": message_id, "channel": "email"}
    answer.tell(at - timedelta(minutes=5), "message.delivered", message)
    if answer.rng.random() < 0.25 + answer.person.opens:
        answer.tell(at, "message.opened", message | {"machine": False})
        if answer.rng.random() < 0.5:
            answer.tell(at + timedelta(minutes=1), "message.clicked", message | {"machine": False})
        elif answer.rng.random() < 0.03:
            answer.tell(at + timedelta(minutes=1), "message.unsubscribed", message)


def _come_back(answer: Life, at: datetime, offer: str | None) -> None:
    """An order soon, and perhaps some more at the customer's own pace."""
    rng = answer.rng
    coupon: str | None = offer or "WELCOME-BACK"
    order_at = at + timedelta(days=rng.uniform(0.1, 6))
    for _ in range(rng.randint(1, ORDERS_AFTER_RETURN_MAX)):
        answer.trip(order_at, coupon)
        order_at += timedelta(days=rng.uniform(0.6, 1.4) * answer.person.interval_days)
        coupon = None
