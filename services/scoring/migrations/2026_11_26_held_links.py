"""Finds the ids that are held apart from a person who has too many."""

import sqlalchemy as sa
from alembic import op

revision = "scoring_0002_held_links"
down_revision = "scoring_0001"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '5min'")
    op.create_index(
        "links_held",
        "links",
        ["parent_id"],
        postgresql_where=sa.text("root_id = customer_id AND parent_id <> customer_id"),
    )
