"""The catalogue of topics, as data: who writes, who reads, for how long, and with which key.

Only the owner writes a topic. `<reader>.dead` holds what the reader could not handle, and
`<reader>.retry` what an operator sends it once more; both belong to the reader.
"""

from dataclasses import dataclass
from typing import Literal

from shared.events.campaigns import CAMPAIGNS
from shared.events.commerce import COMMERCE
from shared.events.engagement import ENGAGEMENT, IDENTITY
from shared.events.envelope import Event
from shared.events.keys import KEYS
from shared.events.loyalty import LOYALTY
from shared.events.scoring import SCORING, AssessmentUpdated
from shared.events.support import SUPPORT
from shared.events.webhooks import WEBHOOKS

PARTITIONS = 12
DAY_HOURS = 24
SERVICES = ("ingest", "scoring", "campaigns", "loyalty", "webhooks", "insights")

INTAKE: tuple[type[Event], ...] = (*COMMERCE, *SUPPORT, *ENGAGEMENT)


@dataclass(frozen=True, slots=True)
class Topic:
    """One Kafka topic. `retention_hours` None means for ever."""

    name: str
    owner: str
    readers: tuple[str, ...]
    events: tuple[type[Event], ...] = ()
    partitions: int = PARTITIONS
    retention_hours: int | None = 30 * DAY_HOURS
    compacted: bool = False
    key: Literal["customer", "key", "endpoint", "original"] = "customer"
    public: bool = False


RECEIVED = Topic("ingest.received", "ingest", ("ingest",), retention_hours=7 * DAY_HOURS)
EVENTS = Topic(
    "ingest.events",
    "ingest",
    ("scoring", "campaigns", "loyalty", "webhooks", "insights"),
    events=(*INTAKE, *IDENTITY),
    public=True,
)
ACCESS_KEYS = Topic(
    "ingest.keys",
    "ingest",
    SERVICES,
    events=KEYS,
    partitions=1,
    # Kept whole: a late copy of a key's making, were it the last of its key, would outlive the
    # revocation. With all of them, a reader knows a copy by its id.
    retention_hours=None,
    key="key",
)
ASSESSMENTS = Topic(
    "scoring.assessments",
    "scoring",
    ("webhooks", "insights"),
    events=(AssessmentUpdated,),
    retention_hours=None,
    compacted=True,
    public=True,
)
THRESHOLDS = Topic(
    "scoring.thresholds",
    "scoring",
    ("campaigns", "loyalty", "webhooks", "insights"),
    events=tuple(event for event in SCORING if event is not AssessmentUpdated),
    public=True,
)
INTERVENTIONS = Topic(
    "campaigns.interventions",
    "campaigns",
    ("scoring", "loyalty", "webhooks", "insights"),
    events=CAMPAIGNS,
    public=True,
)
POINTS = Topic(
    "loyalty.points",
    "loyalty",
    ("campaigns", "webhooks", "insights"),
    events=LOYALTY,
    public=True,
)
DELIVERIES = Topic(
    "webhooks.deliveries",
    "webhooks",
    ("webhooks", "insights"),
    events=WEBHOOKS,
    key="endpoint",
    public=True,
)


def dead_topic(reader: str) -> Topic:
    """Where `reader` puts what it could not handle."""
    return Topic(f"{reader}.dead", reader, (reader,), partitions=1, key="original")


def retry_topic(reader: str) -> Topic:
    """Where an operator puts dead letters that `reader` shall try once more."""
    return Topic(f"{reader}.retry", reader, (reader,), partitions=1, key="original")


TOPICS: tuple[Topic, ...] = (
    RECEIVED,
    EVENTS,
    ACCESS_KEYS,
    ASSESSMENTS,
    THRESHOLDS,
    INTERVENTIONS,
    POINTS,
    DELIVERIES,
    *(dead_topic(service) for service in SERVICES),
    *(retry_topic(service) for service in SERVICES),
)
PUBLIC_TOPICS: tuple[Topic, ...] = tuple(topic for topic in TOPICS if topic.public)
TOPIC_OF: dict[type[Event], Topic] = {event: topic for topic in TOPICS for event in topic.events}
