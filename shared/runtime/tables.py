"""The tables that the runtime keeps in every service's schema."""

import sqlalchemy as sa

METADATA = sa.MetaData()

CONSUMED = sa.Table(
    "consumed",
    METADATA,
    sa.Column("topic", sa.Text, primary_key=True),
    sa.Column("partition", sa.Integer, primary_key=True),
    sa.Column("next_offset", sa.BigInteger, nullable=False),
    sa.CheckConstraint("next_offset >= 0", name="consumed_next_offset_positive"),
)

# `event_key` is a digest of source and id, so that rows are short and no client chooses them.
INBOX = sa.Table(
    "inbox",
    METADATA,
    sa.Column("event_key", sa.LargeBinary, primary_key=True),
    sa.Column("content_hash", sa.LargeBinary, nullable=False),
    sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
    sa.Index("inbox_seen_at", "seen_at", postgresql_using="brin"),
)

OUTBOX = sa.Table(
    "outbox",
    METADATA,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("topic", sa.Text, nullable=False),
    sa.Column("key", sa.LargeBinary, nullable=False),
    sa.Column("value", sa.LargeBinary),
    sa.Column("headers", sa.Text, nullable=False),
)

EVENT_CLOCK = sa.Table(
    "event_clock",
    METADATA,
    sa.Column("single", sa.Boolean, primary_key=True, server_default=sa.true()),
    sa.Column("now", sa.DateTime(timezone=True), nullable=False),
    sa.CheckConstraint("single", name="event_clock_single"),
)
