"""The tables of webhooks: endpoints and their secrets, messages, deliveries, attempts."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY

METADATA = sa.MetaData()


def _instant(name: str, *, nullable: bool = True) -> "sa.Column[object]":
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


ENDPOINTS = sa.Table(
    "endpoints",
    METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("event_types", ARRAY(sa.Text), nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("rate_per_second", sa.Integer),
    sa.Column("enabled", sa.Boolean, nullable=False),
    _instant("disabled_at"),
    sa.Column("disabled_reason", sa.Text),
    _instant("failing_since"),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("reported", sa.Boolean, nullable=False),
    _instant("held_until"),
    _instant("paid_until"),
    # What becomes of deliveries that waited until then, while a job is still seeing to it.
    sa.Column("backlog", sa.Text),
    _instant("backlog_until"),
    _instant("created_at", nullable=False),
    _instant("updated_at", nullable=False),
    _instant("deleted_at"),
    sa.CheckConstraint("enabled = (disabled_at IS NULL)", name="endpoints_disabled_at"),
    sa.CheckConstraint("rate_per_second > 0", name="endpoints_rate_positive"),
    sa.CheckConstraint("backlog IN ('resume', 'skip')", name="endpoints_backlog"),
    sa.CheckConstraint(
        "(backlog IS NULL) = (backlog_until IS NULL)", name="endpoints_backlog_until"
    ),
    sa.Index("endpoints_created", "created_at", "id"),
)

# Sealed with a key that is kept outside the database.
ENDPOINT_SECRETS = sa.Table(
    "endpoint_secrets",
    METADATA,
    sa.Column(
        "endpoint_id", sa.Text, sa.ForeignKey("endpoints.id", ondelete="CASCADE"), primary_key=True
    ),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
    _instant("created_at", nullable=False),
    _instant("expires_at"),
)

# The last sequence number of each subject, under a digest, so that erasure has nothing to find.
SEQUENCES = sa.Table(
    "sequences",
    METADATA,
    sa.Column("subject_key", sa.LargeBinary, primary_key=True),
    sa.Column("last", sa.BigInteger, nullable=False),
    sa.CheckConstraint("last > 0", name="sequences_last_positive"),
)

# One row an event that somebody wants. An erased one has neither body nor customer.
MESSAGES = sa.Table(
    "messages",
    METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("event_id", sa.Text, nullable=False),
    sa.Column("event_type", sa.Text, nullable=False),
    sa.Column("subject", sa.Text),
    sa.Column("sequence", sa.BigInteger, nullable=False),
    sa.Column("body", sa.LargeBinary),
    _instant("created_at", nullable=False),
    sa.Index("messages_created_at", "created_at"),
    sa.Index("messages_subject", "subject"),
)

# A row is leased by moving `due_at` to the lease's end and counting `leases` up: a crashed worker's
# rows become due by themselves, and what a slow one reports late is known by its old count.
# `lane` 0 is live traffic, 1 what was sent again. `tries` counts this series, `attempts` all.
DELIVERIES = sa.Table(
    "deliveries",
    METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column(
        "message_id", sa.Text, sa.ForeignKey("messages.id", ondelete="CASCADE"), nullable=False
    ),
    sa.Column("endpoint_id", sa.Text, sa.ForeignKey("endpoints.id"), nullable=False),
    sa.Column("event_type", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("lane", sa.SmallInteger, nullable=False),
    _instant("due_at", nullable=False),
    sa.Column("leases", sa.Integer, nullable=False),
    sa.Column("tries", sa.Integer, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("reason", sa.Text),
    _instant("created_at", nullable=False),
    _instant("completed_at"),
    sa.UniqueConstraint("message_id", "endpoint_id", name="deliveries_once"),
    sa.CheckConstraint(
        "status IN ('pending', 'delivered', 'exhausted', 'cancelled')", name="deliveries_status"
    ),
    sa.CheckConstraint(
        "(status = 'pending') = (completed_at IS NULL)", name="deliveries_completed_at"
    ),
    sa.Index(
        "deliveries_due",
        "endpoint_id",
        "lane",
        "due_at",
        postgresql_where=sa.text("status = 'pending'"),
    ),
    sa.Index("deliveries_listed", "endpoint_id", "created_at", "id"),
    # Nearly all are delivered; whoever looks for the others must not read those.
    sa.Index(
        "deliveries_listed_undelivered",
        "endpoint_id",
        "status",
        "created_at",
        "id",
        postgresql_where=sa.text("status <> 'delivered'"),
    ),
)

ATTEMPTS = sa.Table(
    "attempts",
    METADATA,
    sa.Column(
        "delivery_id", sa.Text, sa.ForeignKey("deliveries.id", ondelete="CASCADE"), primary_key=True
    ),
    sa.Column("number", sa.Integer, primary_key=True),
    _instant("at", nullable=False),
    sa.Column("lane", sa.SmallInteger, nullable=False),
    sa.Column("status_code", sa.Integer),
    sa.Column("failure", sa.Text),
    sa.Column("duration_ms", sa.Integer, nullable=False),
    sa.Column("answer", sa.Text),
    sa.Column("answer_bytes", sa.Integer, nullable=False),
)
