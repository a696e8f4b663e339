"""What campaigns listens to."""

from services.campaigns.handlers import entry, happenings
from shared.events import topics
from shared.events.commerce import OrderCompleted
from shared.events.engagement import (
    CustomerErased,
    CustomerMerged,
    CustomerUnmerged,
    CustomerUpdated,
    MessageBounced,
    MessageComplained,
    MessageUnsubscribed,
)
from shared.events.loyalty import TierChanged
from shared.events.scoring import ThresholdCrossed
from shared.runtime.service import On, Subscription

SUBSCRIPTIONS = (
    Subscription(
        topics.EVENTS,
        (
            On(
                (
                    CustomerUpdated,
                    MessageUnsubscribed,
                    MessageComplained,
                    MessageBounced,
                    OrderCompleted,
                    CustomerMerged,
                    CustomerUnmerged,
                    CustomerErased,
                ),
                happenings.apply,
            ),
        ),
    ),
    Subscription(topics.THRESHOLDS, (On((ThresholdCrossed,), entry.enter),)),
    Subscription(topics.POINTS, (On((TierChanged,), happenings.note_tier),)),
)
