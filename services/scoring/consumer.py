"""What events wake."""

from services.scoring.handlers import events
from shared.events.campaigns import InterventionSent
from shared.events.engagement import IDENTITY
from shared.events.topics import EVENTS, INTAKE, INTERVENTIONS
from shared.runtime.service import On, Subscription

SUBSCRIPTIONS = (
    # All in one: the order of a customer's events counts across their classes.
    Subscription(EVENTS, (On((*INTAKE, *IDENTITY), events.apply),)),
    Subscription(INTERVENTIONS, (On((InterventionSent,), events.note),)),
)
