"""Endpoints and their secrets, sequences, messages, deliveries and attempts."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "webhooks_0001"
down_revision = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '5min'")
    _endpoints()
    _messages()
    _deliveries()
    _attempts()


def _instant(name: str, *, nullable: bool = True) -> "sa.Column[object]":
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _endpoints() -> None:
    op.create_table(
        "endpoints",
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
    )
    op.create_index("endpoints_created", "endpoints", ["created_at", "id"])
    op.create_table(
        "endpoint_secrets",
        sa.Column(
            "endpoint_id",
            sa.Text,
            sa.ForeignKey("endpoints.id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("version", sa.Integer, primary_key=True),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        _instant("created_at", nullable=False),
        _instant("expires_at"),
    )


def _messages() -> None:
    op.create_table(
        "sequences",
        sa.Column("subject_key", sa.LargeBinary, primary_key=True),
        sa.Column("last", sa.BigInteger, nullable=False),
        sa.CheckConstraint("last > 0", name="sequences_last_positive"),
    )
    op.create_table(
        "messages",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("event_id", sa.Text, nullable=False),
        sa.Column("event_type", sa.Text, nullable=False),
        sa.Column("subject", sa.Text),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("body", sa.LargeBinary),
        _instant("created_at", nullable=False),
    )
    op.create_index("messages_created_at", "messages", ["created_at"])
    op.create_index("messages_subject", "messages", ["subject"])
    op.execute("ALTER TABLE sequences SET (fillfactor = 70)")


def _deliveries() -> None:
    op.create_table(
        "deliveries",
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
            "status IN ('pending', 'delivered', 'exhausted', 'cancelled')",
            name="deliveries_status",
        ),
        sa.CheckConstraint(
            "(status = 'pending') = (completed_at IS NULL)", name="deliveries_completed_at"
        ),
    )
    op.create_index(
        "deliveries_due",
        "deliveries",
        ["endpoint_id", "lane", "due_at"],
        postgresql_where=sa.text("status = 'pending'"),
    )
    op.create_index("deliveries_listed", "deliveries", ["endpoint_id", "created_at", "id"])
    op.create_index(
        "deliveries_listed_undelivered",
        "deliveries",
        ["endpoint_id", "status", "created_at", "id"],
        postgresql_where=sa.text("status <> 'delivered'"),
    )
    # Rows are leased, retried and completed all day: their dead versions must go at once.
    op.execute(
        "ALTER TABLE deliveries SET (autovacuum_vacuum_scale_factor = 0.02, "
        "autovacuum_vacuum_threshold = 5000)"
    )


def _attempts() -> None:
    op.create_table(
        "attempts",
        sa.Column(
            "delivery_id",
            sa.Text,
            sa.ForeignKey("deliveries.id", ondelete="CASCADE"),
            primary_key=True,
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
