"""What insights hears: every public topic, and nothing else."""

from services.insights import handlers
from shared.events import topics
from shared.runtime.service import On, Subscription

SUBSCRIPTIONS = (
    Subscription(topics.EVENTS, (On(topics.EVENTS.events, handlers.record),)),
    Subscription(topics.ASSESSMENTS, (On(topics.ASSESSMENTS.events, handlers.record),)),
    Subscription(topics.THRESHOLDS, (On(topics.THRESHOLDS.events, handlers.record),)),
    Subscription(topics.INTERVENTIONS, (On(topics.INTERVENTIONS.events, handlers.record),)),
    Subscription(topics.POINTS, (On(topics.POINTS.events, handlers.record),)),
    Subscription(topics.DELIVERIES, (On(topics.DELIVERIES.events, handlers.record_operations),)),
)
