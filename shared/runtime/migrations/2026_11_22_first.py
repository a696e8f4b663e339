"""The runtime's tables: positions, inbox, outbox and the event clock."""

import sqlalchemy as sa
from alembic import op

revision = "runtime_0001"
down_revision = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '5min'")
    op.create_table(
        "consumed",
        sa.Column("topic", sa.Text, primary_key=True),
        sa.Column("partition", sa.Integer, primary_key=True),
        sa.Column("next_offset", sa.BigInteger, nullable=False),
        sa.CheckConstraint("next_offset >= 0", name="consumed_next_offset_positive"),
    )
    op.create_table(
        "inbox",
        sa.Column("event_key", sa.LargeBinary, primary_key=True),
        sa.Column("content_hash", sa.LargeBinary, nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("inbox_seen_at", "inbox", ["seen_at"], postgresql_using="brin")
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("key", sa.LargeBinary, nullable=False),
        sa.Column("value", sa.LargeBinary),
        sa.Column("headers", sa.Text, nullable=False),
    )
    op.create_table(
        "event_clock",
        sa.Column("single", sa.Boolean, primary_key=True, server_default=sa.true()),
        sa.Column("now", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("single", name="event_clock_single"),
    )
    # The outbox is filled and emptied all day: dead rows must go at once or every read wades.
    op.execute(
        "ALTER TABLE outbox SET (autovacuum_vacuum_scale_factor = 0, "
        "autovacuum_vacuum_threshold = 5000)"
    )
    op.execute("ALTER TABLE consumed SET (fillfactor = 50)")
