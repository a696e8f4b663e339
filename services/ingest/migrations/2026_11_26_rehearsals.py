"""Keys for tests, and what was posted with them."""

import sqlalchemy as sa
from alembic import op

revision = "ingest_0005_rehearsals"
down_revision = "ingest_0004_identity"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '5min'")
    op.add_column("keys", sa.Column("test", sa.Boolean, nullable=False, server_default=sa.false()))
    op.create_table(
        "rehearsals",
        sa.Column("key_id", sa.Text, primary_key=True),
        sa.Column("serial", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("good", sa.Boolean, nullable=False),
        sa.Column("event_index", sa.Integer, nullable=False),
        sa.Column("event_id", sa.Text),
        sa.Column("event_type", sa.Text),
        sa.Column("errors", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("rehearsals_oldest", "rehearsals", ["received_at"])
