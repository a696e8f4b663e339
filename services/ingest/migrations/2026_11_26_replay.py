"""What an operator does with a refused event: corrects it, and replays it once."""

import sqlalchemy as sa
from alembic import op

revision = "ingest_0002_replay"
down_revision = "ingest_0001"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '5min'")
    for column in (
        sa.Column("default_at", sa.DateTime(timezone=True)),
        sa.Column("corrected", sa.Text),
        sa.Column("corrected_at", sa.DateTime(timezone=True)),
        sa.Column("corrected_by", sa.Text),
        sa.Column("replay_id", sa.Text),
        sa.Column("leased_until", sa.DateTime(timezone=True)),
        sa.Column("replayed_at", sa.DateTime(timezone=True)),
        sa.Column("replayed_by", sa.Text),
    ):
        op.add_column("rejections", column)
