"""What ingest hears: its own intake, which it admits or files as refused."""

from services.ingest.handlers import admit, refusals
from services.ingest.handlers.opening import Received, Refused, Unreadable, open_bundle
from shared.events import topics
from shared.runtime.service import On, Subscription

SUBSCRIPTIONS = (
    Subscription(
        topics.RECEIVED,
        (
            On((Received, Unreadable), admit.admit),
            On((Refused,), refusals.keep),
        ),
        decode=open_bundle,
    ),
)
