"""The shop's rules of contact: how often, at what hours, with which assumed consent."""

from datetime import time
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from shared.events.envelope import Name

Channel = Literal["email", "sms", "push", "webhook", "in_app", "task"]
# A task is for a colleague, so nobody is woken, annoyed or asked for consent by it.
INTERNAL_CHANNELS: frozenset[str] = frozenset({"task"})


def zone_problem(name: str) -> str | None:
    """Why a time zone cannot be used, or None."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return "not a known IANA time zone"
    return None


def _known_zone(name: str) -> str:
    problem = zone_problem(name)
    if problem is not None:
        raise ValueError(problem)
    return name


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Cap(_Part):
    """At most `messages` in any `days` days; of one channel, or of all together."""

    messages: Annotated[int, Field(ge=0, le=1_000)]
    days: Annotated[float, Field(gt=0, le=366)]
    channel: Channel | None = None

    def words(self) -> str:
        kind = f"{self.channel} messages" if self.channel else "messages in all"
        return f"at most {self.messages} {kind} in {self.days:g} days"


class QuietHours(_Part):
    """Local times between which nothing is sent; `end` before `start` crosses midnight."""

    start: time
    end: time

    @model_validator(mode="after")
    def _is_a_span(self) -> Self:
        if self.start == self.end:
            raise ValueError("start and end must differ")
        if self.start.tzinfo is not None or self.end.tzinfo is not None:
            raise ValueError("quiet hours are local times, without an offset")
        return self


class Policy(_Part):
    """`implied_consent`: the purposes a channel may be used for without a known statement."""

    timezone: Annotated[str, AfterValidator(_known_zone)] = "UTC"
    caps: Annotated[tuple[Cap, ...], Field(max_length=50)] = ()
    quiet_hours: dict[Channel, QuietHours] = Field(default_factory=dict)
    implied_consent: dict[Channel, frozenset[Name]] = Field(default_factory=dict)


def default_policy(timezone: str, implied_consent: dict[Channel, frozenset[str]]) -> Policy:
    """What holds until an operator says otherwise."""
    night = QuietHours(start=time(21), end=time(8))
    return Policy(
        timezone=timezone,
        caps=(Cap(messages=2, days=7, channel="email"), Cap(messages=3, days=7)),
        quiet_hours={"email": night, "sms": night, "push": night},
        implied_consent=implied_consent,
    )
