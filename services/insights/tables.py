"""The schema of insights. Every hot table begins its key with the customer's original id."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

METADATA = sa.MetaData()


def _instant(name: str, *, key: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False, primary_key=key)


def _text(name: str, *, key: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False, primary_key=key)


# Timelines. The key is also the order of reading, so a page is one range of the index.
FACTS = sa.Table(
    "facts",
    METADATA,
    _text("customer_id", key=True),
    _instant("at", key=True),
    _instant("recorded_at", key=True),
    _text("event_id", key=True),
    _text("source", key=True),
    _text("kind"),
    sa.Column("cause", sa.Text),
    sa.Column("details", JSONB, nullable=False),
    # For the sweep; rows arrive in this order, so a summary per block is enough.
    sa.Index("facts_recorded_at", "recorded_at", postgresql_using="brin"),
)

DAYS = sa.Table(
    "days",
    METADATA,
    _text("customer_id", key=True),
    sa.Column("day", sa.Date, primary_key=True),
    _text("kind", key=True),
    _text("rule", key=True),
    sa.Column("events", sa.BigInteger, nullable=False),
    sa.Column("points", sa.BigInteger, nullable=False),
    sa.Column("active", sa.Boolean, nullable=False),
    sa.Index("days_day_kind", "day", "kind"),
    # Who was active in a period is asked of this index alone.
    sa.Index("days_active", "day", "customer_id", postgresql_where=sa.text("active")),
    sa.CheckConstraint("events > 0", name="days_events_positive"),
    sa.CheckConstraint("points >= 0", name="days_points_not_negative"),
)

CUSTOMERS = sa.Table(
    "customers", METADATA, _text("customer_id", key=True), _instant("first_seen_at")
)

ORDERS = sa.Table(
    "orders",
    METADATA,
    _text("customer_id", key=True),
    _text("order_id", key=True),
    _instant("at"),
    _text("event_id"),
    sa.Column("total", sa.Numeric, nullable=False),
    _text("currency"),
    sa.Index("orders_at", "at"),
)

REFUNDS = sa.Table(
    "refunds",
    METADATA,
    _text("customer_id", key=True),
    _text("order_id", key=True),
    _text("refund_id", key=True),
    _instant("at"),
    _text("event_id"),
    sa.Column("amount", sa.Numeric, nullable=False),
    _text("currency"),
    sa.Index("refunds_at", "at"),
)

CANCELLATIONS = sa.Table(
    "cancellations",
    METADATA,
    _text("customer_id", key=True),
    _text("order_id", key=True),
    _instant("at"),
    _text("event_id"),
    # An order may be cancelled under another id of the person than it was placed under.
    sa.Index("cancellations_order_id", "order_id"),
)

STANDINGS = sa.Table(
    "standings",
    METADATA,
    _text("customer_id", key=True),
    _instant("at"),
    sa.Column("risk", sa.Double, nullable=False),
    _text("band"),
    _text("segment"),
    _text("lifecycle"),
    sa.Column("clv_historic", sa.Numeric, nullable=False),
    sa.Column("clv_predicted", sa.Numeric, nullable=False),
    _text("clv_tier"),
    _text("currency"),
)

TIERS = sa.Table(
    "tiers",
    METADATA,
    _text("customer_id", key=True),
    _instant("at"),
    _text("tier"),
)

# Ids whose person is to be counted anew. Only ever added to by those who write facts, so that they
# never wait for each other; the job that takes them off keeps the sums below.
RECOUNTS = sa.Table(
    "recounts",
    METADATA,
    sa.Column("serial", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    _text("customer_id"),
)

# What each person stands for in the sums.
PEOPLE = sa.Table(
    "people",
    METADATA,
    _text("customer_id", key=True),
    sa.Column("first_seen_on", sa.Date),
    sa.Column("band", sa.Text),
    sa.Column("segment", sa.Text),
    sa.Column("lifecycle", sa.Text),
    sa.Column("currency", sa.Text),
    sa.Column("risk", sa.Numeric),
    sa.Column("clv_historic", sa.Numeric),
    sa.Column("clv_predicted", sa.Numeric),
    sa.Column("tier", sa.Text),
)

# In these sums the segment of people without an assessment is the empty text.
ARRIVALS = sa.Table(
    "arrivals",
    METADATA,
    sa.Column("day", sa.Date, primary_key=True),
    _text("segment", key=True),
    sa.Column("people", sa.BigInteger, nullable=False),
)

STANDING_SUMS = sa.Table(
    "standing_sums",
    METADATA,
    _text("band", key=True),
    _text("segment", key=True),
    _text("lifecycle", key=True),
    _text("currency", key=True),
    sa.Column("people", sa.BigInteger, nullable=False),
    # Numeric, so that what is added and taken away again leaves nothing.
    sa.Column("risk", sa.Numeric, nullable=False),
    sa.Column("clv_historic", sa.Numeric, nullable=False),
    sa.Column("clv_predicted", sa.Numeric, nullable=False),
)

TIER_SUMS = sa.Table(
    "tier_sums",
    METADATA,
    _text("tier", key=True),
    _text("segment", key=True),
    sa.Column("people", sa.BigInteger, nullable=False),
)

# `root_id` follows from the links: the id that stands for the person an absorbed id belongs to.
MERGES = sa.Table(
    "merges",
    METADATA,
    _text("absorbed_id", key=True),
    _text("survivor_id"),
    sa.Column("linked", sa.Boolean, nullable=False),
    _instant("changed_at"),
    _text("changed_by"),
    _text("root_id"),
    sa.Index("merges_survivor_id", "survivor_id"),
    sa.Index("merges_root_id", "root_id"),
)

# `customer_key` is a digest, so that late events of an erased customer are known without the id.
ERASURES = sa.Table(
    "erasures",
    METADATA,
    sa.Column("customer_key", sa.LargeBinary, primary_key=True),
    _instant("erased_at", key=True),
    _text("pseudonym"),
)

# What webhooks tells operators: few, so they are counted where they lie.
OPERATIONS = sa.Table(
    "operations",
    METADATA,
    _text("endpoint_id", key=True),
    _instant("at", key=True),
    _text("event_id", key=True),
    _text("source", key=True),
    _text("kind"),
    sa.Index("operations_at", "at"),
)

# The latest of those about each endpoint.
ENDPOINTS = sa.Table(
    "endpoints", METADATA, _text("endpoint_id", key=True), _instant("at"), _text("kind")
)
