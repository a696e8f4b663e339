"""The customers of the simulated shop, with what nobody outside can see: their rhythms."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from stack.demo.words import FIRST_NAMES, LAST_NAMES, PLACES

ACCOUNT_MANAGERS = ("jo@shop.example", "sam@shop.example")
DAYS_KNOWN_BEFORE_MAX = 900
SHARE_OF_NEWCOMERS = 0.4
SHARE_REFERRED = 0.15
SHARE_RESPONSIVE = 0.4


@dataclass(frozen=True, slots=True)
class Person:
    """One customer. Everything below `newcomer` is hidden from Tenure.

    interval_days: mean days between purchases; regularity: shape of their Gamma distribution
    (1 is memoryless, 6 like clockwork); drop_probability: chance to be lost after each order;
    basket: mean number of different products; responds: chance that an intervention leads to an
    order.
    """

    number: int
    id: str
    name: str
    email: str
    phone: str
    country: str
    timezone: str
    locale: str
    account_manager: str | None
    joined_at: datetime
    newcomer: bool
    advocate: str | None
    advocate_code: str | None
    interval_days: float
    regularity: float
    drop_probability: float
    basket: float
    generosity: float
    visits_per_order: float
    opens: float
    consents: bool
    likes_app: bool
    complains: float
    responds: float

    @property
    def referral_code(self) -> str:
        """What this customer gives to friends."""
        return f"{self.name.split()[0].upper()}-{self.number:05d}"


def draw_people(seed: int, count: int, starts_at: datetime, ends_at: datetime) -> list[Person]:
    """The same people for the same seed; advocates come before the friends they bring."""
    people: list[Person] = []
    for number in range(1, count + 1):
        rng = Random(f"{seed}:person:{number}")
        newcomer = rng.random() < SHARE_OF_NEWCOMERS
        joined_at = _joined_at(rng, newcomer, starts_at, ends_at)
        advocate = _advocate(rng, people, joined_at) if newcomer else None
        people.append(_draw(rng, number, joined_at, newcomer=newcomer, advocate=advocate))
    return people


def _joined_at(rng: Random, newcomer: bool, starts_at: datetime, ends_at: datetime) -> datetime:
    if newcomer:
        earliest, latest = starts_at + timedelta(days=3), ends_at - timedelta(days=30)
        return earliest + rng.random() * (latest - earliest)
    return starts_at - timedelta(days=rng.uniform(1, DAYS_KNOWN_BEFORE_MAX))


def _advocate(rng: Random, known: list[Person], joined_at: datetime) -> Person | None:
    if not known or rng.random() > SHARE_REFERRED:
        return None
    candidate = rng.choice(known)
    return candidate if candidate.joined_at < joined_at - timedelta(days=10) else None


def _draw(
    rng: Random, number: int, joined_at: datetime, *, newcomer: bool, advocate: Person | None
) -> Person:
    first, last = rng.choice(FIRST_NAMES), rng.choice(LAST_NAMES)
    country, timezone, locale = rng.choices(PLACES, (70, 6, 12, 7, 5))[0]
    generosity = rng.lognormvariate(0, 0.5)
    return Person(
        number=number,
        id=f"c-{number:05d}",
        name=f"{first} {last}",
        email=f"{first}.{last}.{number}@customer.example".lower(),
        # Numbers reserved for drama by Ofcom.
        phone=f"+44 7700 900{number % 1000:03d}",
        country=country,
        timezone=timezone,
        locale=locale,
        account_manager=rng.choice(ACCOUNT_MANAGERS) if generosity > 1.6 else None,
        joined_at=joined_at,
        newcomer=newcomer,
        advocate=advocate.id if advocate else None,
        advocate_code=advocate.referral_code if advocate else None,
        interval_days=min(240.0, max(9.0, rng.lognormvariate(4.0, 0.65))),
        regularity=rng.uniform(1, 6),
        drop_probability=rng.betavariate(1.1, 9),
        basket=rng.uniform(1.2, 4),
        generosity=generosity,
        visits_per_order=rng.uniform(0.3, 1.8),
        opens=rng.betavariate(2, 5),
        consents=rng.random() < 0.75,
        likes_app=rng.random() < 0.3,
        complains=rng.betavariate(1, 14),
        responds=rng.uniform(0.2, 0.6) if rng.random() < SHARE_RESPONSIVE else 0.02,
    )
