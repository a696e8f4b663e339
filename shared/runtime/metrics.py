"""Every metric of Tenure, in one typed catalogue. Labels never carry ids."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

REGISTRY = CollectorRegistry(auto_describe=True)
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

EVENTS = Counter(
    "tenure_consumer_events", "Events handled, by outcome", ["topic", "outcome"], registry=REGISTRY
)
BATCH_SECONDS = Histogram(
    "tenure_consumer_batch_seconds", "Time of one batch", buckets=_SECONDS, registry=REGISTRY
)
BATCH_EVENTS = Histogram(
    "tenure_consumer_batch_events",
    "Events in one batch",
    buckets=(1, 3, 10, 30, 100, 300, 1000, 3000),
    registry=REGISTRY,
)
LAG = Gauge("tenure_consumer_lag_records", "Records not yet read", ["topic"], registry=REGISTRY)
FENCED = Counter(
    "tenure_consumer_fenced", "Batches refused because the position moved", registry=REGISTRY
)
RETRIES = Counter(
    "tenure_consumer_retries", "Batches tried again because a part was away", registry=REGISTRY
)
READERS_REBUILT = Counter(
    "tenure_consumer_readers_rebuilt",
    "Readers given up because they could not tell where the log ends",
    registry=REGISTRY,
)
RELAYED = Counter("tenure_relay_records", "Records carried from the outbox", registry=REGISTRY)
LEADING = Gauge(
    "tenure_leader_state", "1 while this process has the duty", ["duty"], registry=REGISTRY
)
JOB_SECONDS = Histogram(
    "tenure_job_seconds", "Time of one run", ["job"], buckets=_SECONDS, registry=REGISTRY
)
JOB_FAILURES = Counter("tenure_job_failures", "Runs that failed", ["job"], registry=REGISTRY)
REQUESTS = Counter(
    "tenure_http_requests",
    "Requests, by route template",
    ["method", "route", "status"],
    registry=REGISTRY,
)
REQUEST_SECONDS = Histogram(
    "tenure_http_request_seconds",
    "Time of one request",
    ["route"],
    buckets=_SECONDS,
    registry=REGISTRY,
)
INTAKE_EVENTS = Counter(
    "ingest_intake_events", "Events posted, by verdict", ["verdict"], registry=REGISTRY
)
PIXELS_LOST = Counter(
    "ingest_pixel_losses",
    "Calls of an image that were not taken, by code",
    ["code"],
    registry=REGISTRY,
)
DELIVERIES = Counter(
    "webhooks_delivery_attempts", "Attempts, by outcome", ["outcome"], registry=REGISTRY
)
DECISIONS = Counter(
    "campaigns_gate_decisions", "Decisions of the gate, by rule", ["rule"], registry=REGISTRY
)


def exposition() -> bytes:
    """All metrics in Prometheus' text format."""
    return generate_latest(REGISTRY)
