"""State stays with the id that was named: what is known of links, and whose address was used."""

import sqlalchemy as sa
from alembic import op

revision = "campaigns_0002_original_ids"
down_revision = "campaigns_0001"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '5min'")
    # Whether an unmerge was told of ids that are there already is not known, so nothing is presumed
    # about them.
    op.add_column(
        "customers", sa.Column("link_told", sa.Boolean, nullable=False, server_default=sa.true())
    )
    op.alter_column("customers", "link_told", server_default=sa.false())
    op.add_column("interventions", sa.Column("addressee_id", sa.Text))
    op.create_index(
        "interventions_addressee",
        "interventions",
        ["addressee_id"],
        postgresql_where=sa.text("addressee_id IS NOT NULL"),
    )
