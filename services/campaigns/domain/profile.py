"""The profile: one trait a row, the latest value wins, so that two ids combine exactly."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

TRAITS: tuple[str, ...] = (
    "email",
    "phone",
    "name",
    "birthday",
    "timezone",
    "locale",
    "country",
    "industry",
    "company",
    "account_manager",
    "acquired_at",
    "acquisition_channel",
    "acquisition_cost",
    "annual_revenue",
)
CUSTOM_PREFIX = "custom."
# `bounced.<address>` is true while messages to that address come back.
BOUNCED_PREFIX = "bounced."
_CAME_BACK = "messages to it come back"
# The trait that holds the address of a channel; a channel without one needs none of ours.
ADDRESS_TRAITS = {"email": "email", "sms": "phone", "phone": "phone"}
ADDRESSES = frozenset(ADDRESS_TRAITS.values())


@dataclass(frozen=True, slots=True)
class Trait:
    """One thing known about a customer since `at`. `problem` says why it cannot be used."""

    name: str
    value: Any
    at: datetime
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Profile:
    """All traits of a person, by name."""

    traits: Mapping[str, Trait] = field(default_factory=dict)

    def value(self, name: str) -> Any:
        """The value of a trait that can be used, else None."""
        trait = self.traits.get(name)
        return None if trait is None or self.problem(name) else trait.value

    def text(self, name: str) -> str | None:
        """As `value`, as text; an empty one counts as absent."""
        value = self.value(name)
        return str(value) if value not in {None, ""} else None

    def problem(self, name: str) -> str | None:
        """Why a trait cannot be used; an address also when messages to it come back."""
        trait = self.traits.get(name)
        if trait is None or trait.problem or name not in ADDRESSES:
            return trait.problem if trait is not None else None
        bounced = self.traits.get(f"{BOUNCED_PREFIX}{trait.value}")
        return _CAME_BACK if bounced is not None and bounced.value else None

    def known(self) -> Mapping[str, Trait]:
        """What the person or the shop said; the rest is what we noticed."""
        return {
            name: one
            for name, one in sorted(self.traits.items())
            if not name.startswith(BOUNCED_PREFIX)
        }


def combine(traits: Iterable[Trait]) -> Profile:
    """The profile of a person: of each trait the latest, later in the list on a tie."""
    latest: dict[str, Trait] = {}
    for trait in traits:
        known = latest.get(trait.name)
        if known is None or trait.at >= known.at:
            latest[trait.name] = trait
    return Profile(latest)
