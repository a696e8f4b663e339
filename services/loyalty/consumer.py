"""What loyalty listens to."""

from services.loyalty.handlers import gestures, offers, orders
from shared.events import topics
from shared.events.campaigns import InterventionSent
from shared.events.commerce import OrderCancelled, OrderCompleted, OrderRefunded
from shared.events.engagement import CustomerErased, CustomerMerged, CustomerUnmerged
from shared.events.scoring import ThresholdCrossed
from shared.runtime.service import On, Subscription

SUBSCRIPTIONS = (
    Subscription(
        topics.EVENTS,
        (
            On(
                (
                    OrderCompleted,
                    OrderRefunded,
                    OrderCancelled,
                    CustomerMerged,
                    CustomerUnmerged,
                    CustomerErased,
                ),
                orders.apply,
            ),
        ),
    ),
    Subscription(topics.THRESHOLDS, (On((ThresholdCrossed,), gestures.give),)),
    Subscription(topics.INTERVENTIONS, (On((InterventionSent,), offers.honour),)),
)
