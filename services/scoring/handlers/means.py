"""What the handlers have in their hands besides the transaction: lexicon, model, limits."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from services.scoring.domain.models import PRIOR, Model
from services.scoring.domain.timeline import Rules
from services.scoring.handlers.backlog import Backlog
from services.scoring.lexicon import Lexicon
from services.scoring.store import models
from services.scoring.store.people import Driver
from shared.events.engagement import (
    CommunityPosted,
    ReviewSubmitted,
    SocialEngaged,
    SurveyAnswered,
)
from shared.events.envelope import Event
from shared.events.support import TicketOpened, TicketReplied, TicketResolved

_SPEAKING = frozenset(
    {
        CommunityPosted,
        ReviewSubmitted,
        SocialEngaged,
        SurveyAnswered,
        TicketOpened,
        TicketReplied,
        TicketResolved,
    }
)
# An event's source and id: ids are unique per source only.
Told = tuple[str, str]


@dataclass(slots=True)
class Means:
    """Opened once per role. `currency` is that of customers without orders."""

    horizon_days: int
    currency: str
    ids_max: int
    backlog: Backlog
    # On the clock of `monotonic_seconds`.
    count_again_at: float = 0.0
    lexicon: Lexicon = field(default_factory=Lexicon)
    _models: dict[int, Model] = field(default_factory=dict)

    async def rules(self, driver: Driver) -> Rules:
        """The rules in force for this transaction; a model is read once."""
        return Rules(await self.model(driver), self.horizon_days, self.currency)

    async def model(self, driver: Driver) -> Model:
        """The model in force."""
        number = await models.active_id(driver)
        if number is None:
            return PRIOR
        if number not in self._models:
            self._models = {number: await models.load(driver, number)}
        return self._models[number]

    def sentiments(self, events: Iterable[Event]) -> dict[Told, int]:
        """The sentiments of the events' texts."""
        texts = (
            ((event.source, event.id), text_of(event))
            for event in events
            if type(event) in _SPEAKING
        )
        return {told: self.lexicon.sentiment(text) for told, text in texts if text}


def text_of(event: Event) -> str | None:
    """What a customer wrote, if anything."""
    match event:
        case TicketOpened(data=data) | TicketReplied(data=data):
            return " ".join(part for part in (data.subject, data.text) if part) or None
        case TicketResolved(data=data) | ReviewSubmitted(data=data) | SurveyAnswered(data=data):
            return data.text
        case SocialEngaged(data=data) | CommunityPosted(data=data):
            return data.text
        case _:
            return None
