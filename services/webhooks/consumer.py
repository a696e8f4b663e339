"""What webhooks listens to: every public topic, its own operator events included.

An operator event is not told to the endpoint it is about, and failing to tell one makes no further
one (`domain/interest.py`, `handlers/record.py`), so the circle does not close.
"""

from services.webhooks.handlers.schedule import schedule
from shared.events.topics import PUBLIC_TOPICS
from shared.runtime.service import On, Subscription

SUBSCRIPTIONS = tuple(Subscription(topic, (On(topic.events, schedule),)) for topic in PUBLIC_TOPICS)
