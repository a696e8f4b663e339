"""Merges that can be listed and undone, verified traits, and why an id was not linked."""

import sqlalchemy as sa
from alembic import op

revision = "ingest_0004_identity"
down_revision = "ingest_0003_tracking_plan"


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '5min'")
    _identities()
    _conflicts()
    _merges()
    _traits()


def _identities() -> None:
    op.add_column("identities", sa.Column("parent_id", sa.Text))
    op.add_column(
        "identities", sa.Column("barred", sa.Boolean, nullable=False, server_default=sa.false())
    )
    op.add_column("identities", sa.Column("told_at", sa.DateTime(timezone=True)))
    op.drop_constraint("identities_linked_when_absorbed", "identities")
    # A linked id that was named as a customer afterwards stays where it is: what was published
    # under the person would have to be told anew. It becomes an alias, which can be undone.
    op.execute("UPDATE identities SET parent_id = canonical_id WHERE canonical_id <> id")
    op.execute("UPDATE identities SET told_at = linked_at WHERE canonical_id <> id")


def _conflicts() -> None:
    op.add_column(
        "identity_conflicts",
        sa.Column("reason", sa.Text, nullable=False, server_default="other_customer"),
    )
    op.create_index(
        "identity_conflicts_newest",
        "identity_conflicts",
        ["seen_at", "anonymous_id", "customer_id"],
    )


def _merges() -> None:
    op.create_table(
        "merges",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("through", sa.Text, nullable=False),
        sa.Column("absorbed_id", sa.Text, nullable=False),
        sa.Column("survivor_id", sa.Text, nullable=False),
        sa.Column("cause", sa.Text),
        sa.Column("made_by", sa.Text, nullable=False),
        sa.Column("happened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("digest", sa.LargeBinary),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.Column("ended_by", sa.Text),
        sa.Column("ended_because", sa.Text),
        sa.CheckConstraint(
            "(digest IS NULL) = (through IN ('event', 'alias'))", name="merges_traits"
        ),
        sa.CheckConstraint(
            "(ended_at IS NULL) = (ended_by IS NULL) "
            "AND (ended_at IS NULL) = (ended_because IS NULL)",
            name="merges_end_is_whole",
        ),
    )
    _history()
    _constraints()


def _history() -> None:
    """What joins ids already, as merges that can be undone."""
    op.execute("""
    INSERT INTO merges
      (id, through, absorbed_id, survivor_id, cause, made_by, happened_at, made_at)
    SELECT md5('merge ' || id)::uuid::text, CASE WHEN known THEN 'alias' ELSE 'event' END,
           id, canonical_id, linked_by, '/ingest', linked_at, linked_at
    FROM identities WHERE canonical_id <> id
    """)
    op.execute("""
    UPDATE identities SET linked_at = NULL, linked_by = NULL WHERE canonical_id <> id AND known
    """)


def _constraints() -> None:
    op.create_index("merges_absorbed", "merges", ["absorbed_id", "made_at"])
    op.create_index("merges_survivor", "merges", ["survivor_id", "made_at"])
    for name, columns, through in (
        ("merges_one_link_a_visitor", ["absorbed_id"], "event"),
        ("merges_one_alias_a_pair", ["absorbed_id", "survivor_id"], "alias"),
    ):
        op.create_index(
            name,
            "merges",
            columns,
            unique=True,
            postgresql_where=sa.text(f"ended_at IS NULL AND through = '{through}'"),
        )
    op.create_check_constraint(
        "identities_child_when_absorbed",
        "identities",
        "(canonical_id = id) = (parent_id IS NULL)",
    )
    op.create_check_constraint(
        "identities_linked_by_event",
        "identities",
        "(parent_id IS NOT NULL AND NOT known) = (linked_at IS NOT NULL)",
    )
    op.create_check_constraint(
        "identities_link_is_whole", "identities", "(linked_at IS NULL) = (linked_by IS NULL)"
    )


def _traits() -> None:
    op.create_table(
        "identity_traits",
        sa.Column("digest", sa.LargeBinary, primary_key=True),
        sa.Column("customer_id", sa.Text, primary_key=True),
        sa.Column("in_force", sa.Boolean, nullable=False),
    )
    op.create_index("identity_traits_customer", "identity_traits", ["customer_id"])
