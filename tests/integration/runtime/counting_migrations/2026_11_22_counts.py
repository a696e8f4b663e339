"""The table of the counting service."""

import sqlalchemy as sa
from alembic import op

revision = "counting_0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "counts",
        sa.Column("customer_id", sa.Text, primary_key=True),
        sa.Column("orders", sa.BigInteger, nullable=False),
        sa.Column("seen", sa.ARRAY(sa.Text), nullable=False, server_default="{}"),
    )
