"""The schema of loyalty. A customer's rows start with the customer id, so they can be spread."""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

METADATA = sa.MetaData()


def _points(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False, server_default="0")


def _instant(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


ACCOUNTS = sa.Table(
    "accounts",
    METADATA,
    sa.Column("customer_id", sa.Text, primary_key=True),
    _points("active"),
    _points("reserved"),
    _points("debt"),
    _points("earned"),
    _points("seq"),
    _instant("booked_at", nullable=True),
    sa.Column("tier", sa.Text),
    _instant("tier_since", nullable=True),
    _instant("review_at", nullable=True),
    # What all linked ids hold together, on the id that stands for the person.
    sa.Column("linked_tier", sa.Text),
    _instant("linked_tier_since", nullable=True),
    _instant("linked_review_at", nullable=True),
    sa.Column("erased", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.CheckConstraint(
        "active >= 0 AND reserved >= 0 AND debt >= 0 AND earned >= 0",
        name="accounts_never_negative",
    ),
    sa.CheckConstraint("active = 0 OR debt = 0", name="accounts_debt_paid_first"),
    sa.Index("accounts_review_at", "review_at", postgresql_where=sa.text("review_at IS NOT NULL")),
    sa.Index(
        "accounts_linked_review_at",
        "linked_review_at",
        postgresql_where=sa.text("linked_review_at IS NOT NULL"),
    ),
)

# One row moves the points of one customer. Its postings are columns, so that double entry is a
# check of the row itself; a trigger forbids to change or delete it.
ENTRIES = sa.Table(
    "entries",
    METADATA,
    sa.Column("customer_id", sa.Text, primary_key=True),
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("id", sa.Uuid, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("cause", sa.Text, nullable=False),
    sa.Column("rule", sa.Text),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("order_id", sa.Text),
    sa.Column("redemption_id", sa.Text),
    sa.Column("lot_id", sa.Uuid),
    sa.Column("reverses", sa.Uuid),
    _instant("occurred_at"),
    _instant("booked_at"),
    _points("active"),
    _points("reserved"),
    _points("debt"),
    _points("issued"),
    _points("expired"),
    _points("redeemed"),
    _points("written_off"),
    _points("active_after"),
    _points("reserved_after"),
    _points("debt_after"),
    # The id follows from cause, kind, rule and ordinal: the same cause books once, for ever.
    sa.UniqueConstraint("id", name="entries_id"),
    sa.CheckConstraint(
        "active + reserved - debt + issued + expired + redeemed + written_off = 0",
        name="entries_balanced",
    ),
    sa.CheckConstraint(
        "active_after >= 0 AND reserved_after >= 0 AND debt_after >= 0",
        name="entries_never_negative",
    ),
)

LOTS = sa.Table(
    "lots",
    METADATA,
    sa.Column("customer_id", sa.Text, primary_key=True),
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("entry_id", sa.Uuid, nullable=False),
    _instant("earned_at"),
    _instant("expires_at"),
    _points("points"),
    _points("remaining"),
    _points("reversed"),
    _points("expired"),
    _points("written_off"),
    sa.Column("qualifying", sa.Boolean, nullable=False, server_default=sa.true()),
    sa.CheckConstraint("remaining >= 0 AND remaining <= points", name="lots_remaining_bounded"),
    sa.CheckConstraint("reversed >= 0 AND reversed <= points", name="lots_reversed_bounded"),
    sa.CheckConstraint("expired >= 0", name="lots_expired_positive"),
    sa.CheckConstraint(
        "written_off >= 0 AND written_off <= reversed", name="lots_written_off_bounded"
    ),
    sa.Index("lots_open", "customer_id", "expires_at", postgresql_where=sa.text("remaining > 0")),
    sa.Index("lots_due", "expires_at", postgresql_where=sa.text("remaining > 0")),
)

LOT_ALLOCATIONS = sa.Table(
    "lot_allocations",
    METADATA,
    sa.Column("customer_id", sa.Text, primary_key=True),
    sa.Column("lot_id", sa.Uuid, primary_key=True),
    sa.Column("entry_id", sa.Uuid, primary_key=True),
    sa.Column("points", sa.BigInteger, nullable=False),
    sa.Index("lot_allocations_entry", "entry_id"),
)

# By order id alone: a refund may name another id of the same person than its order did.
ORDERS = sa.Table(
    "orders",
    METADATA,
    sa.Column("order_id", sa.Text, primary_key=True),
    sa.Column("customer_id", sa.Text),
    sa.Column("total", sa.Numeric, nullable=False, server_default="0"),
    sa.Column("currency", sa.Text),
    _points("points"),
    sa.Column("lot_id", sa.Uuid),
    sa.Column("refunded", sa.Numeric, nullable=False, server_default="0"),
    _points("reversed"),
    sa.Column("cancel_cause", sa.Text),
    sa.Column("cancel_event_id", sa.Text),
    _instant("cancelled_at", nullable=True),
    sa.Column("cancel_applied", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.CheckConstraint("reversed >= 0 AND reversed <= points", name="orders_reversed_bounded"),
    sa.Index("orders_customer", "customer_id"),
)

REFUNDS = sa.Table(
    "refunds",
    METADATA,
    sa.Column("order_id", sa.Text, primary_key=True),
    sa.Column("refund_id", sa.Text, primary_key=True),
    sa.Column("amount", sa.Numeric, nullable=False),
    sa.Column("currency", sa.Text, nullable=False),
    sa.Column("cause", sa.Text, nullable=False),
    sa.Column("event_id", sa.Text, nullable=False),
    _instant("occurred_at"),
    sa.Column("applied", sa.Boolean, nullable=False, server_default=sa.false()),
)

LINKS = sa.Table(
    "links",
    METADATA,
    sa.Column("absorbed_id", sa.Text, primary_key=True),
    sa.Column("survivor_id", sa.Text, nullable=False),
    sa.Index("links_survivor", "survivor_id"),
)

GESTURES = sa.Table(
    "gestures",
    METADATA,
    sa.Column("customer_id", sa.Text, primary_key=True),
    sa.Column("rule", sa.Text, primary_key=True),
    _instant("given_at"),
)

REDEMPTIONS = sa.Table(
    "redemptions",
    METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("customer_id", sa.Text, nullable=False),
    sa.Column("points", sa.BigInteger, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("entry_ids", pg.ARRAY(sa.Uuid), nullable=False),
    _instant("created_at"),
    _instant("release_at", nullable=True),
    _instant("settled_at", nullable=True),
    sa.CheckConstraint("points > 0", name="redemptions_points_positive"),
    sa.CheckConstraint(
        "state IN ('reserved', 'captured', 'released')", name="redemptions_state_known"
    ),
    sa.Index("redemptions_customer", "customer_id"),
    sa.Index("redemptions_due", "release_at", postgresql_where=sa.text("state = 'reserved'")),
)

# What was answered to a request with this `Idempotency-Key`, kept by the digest of its body.
ANSWERS = sa.Table(
    "answers",
    METADATA,
    sa.Column("operation", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("body_hash", sa.LargeBinary, nullable=False),
    sa.Column("customer_id", sa.Text, nullable=False),
    sa.Column("status", sa.Integer, nullable=False),
    sa.Column("answer", sa.Text, nullable=False),
    _instant("created_at"),
    sa.Index("answers_created_at", "created_at"),
    sa.Index("answers_customer", "customer_id"),
)
