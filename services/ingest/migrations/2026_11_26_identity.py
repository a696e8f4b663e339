"""Merges that can be listed and undone, verified traits, and why an id was not linked.

Replicas of the version before go on writing while the new ones start: this only adds, and a trigger
completes what they write. When none is left, a later migration may drop the trigger and demand
`(canonical_id = id) = (parent_id IS NULL)`.
"""

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
    _version_before()


def _identities() -> None:
    op.add_column("identities", sa.Column("parent_id", sa.Text))
    op.add_column(
        "identities", sa.Column("barred", sa.Boolean, nullable=False, server_default=sa.false())
    )
    op.add_column("identities", sa.Column("told_at", sa.DateTime(timezone=True)))
    op.add_column(
        "identities", sa.Column("alias_only", sa.Boolean, nullable=False, server_default=sa.false())
    )
    op.drop_constraint("identities_linked_when_absorbed", "identities")
    # A linked id that was named as a customer afterwards stays where it is: what was published
    # under the person would have to be told anew. It becomes an alias, which can be undone.
    op.execute("UPDATE identities SET parent_id = canonical_id WHERE canonical_id <> id")
    op.execute("UPDATE identities SET told_at = linked_at WHERE canonical_id <> id")


def _conflicts() -> None:
    op.alter_column("identity_conflicts", "event_id", nullable=True)
    op.add_column(
        "identity_conflicts",
        sa.Column("reason", sa.Text, nullable=False, server_default="other_customer"),
    )
    op.create_index(
        "identity_conflicts_newest",
        "identity_conflicts",
        ["seen_at", "anonymous_id", "customer_id"],
    )
    op.create_index(
        "identity_conflicts_by_reason",
        "identity_conflicts",
        ["reason", "seen_at", "anonymous_id", "customer_id"],
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
    """What joins ids already, as merges that can be undone.

    The version before dated a link by its receipt, so the times of events say nothing about it: it
    is dated before all of them, and no event that happened earlier takes it for its own.
    """
    op.execute("""
    INSERT INTO merges
      (id, through, absorbed_id, survivor_id, cause, made_by, happened_at, made_at)
    SELECT md5('merge ' || id)::uuid::text, CASE WHEN known THEN 'alias' ELSE 'event' END,
           id, canonical_id, linked_by, '/ingest', linked_at, linked_at
    FROM identities WHERE canonical_id <> id
    """)
    op.execute("""
    UPDATE identities SET linked_at = CASE WHEN NOT known THEN timestamptz 'epoch' END,
           linked_by = CASE WHEN NOT known THEN linked_by END
    WHERE canonical_id <> id
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
    op.create_table(
        "identity_trait_key",
        sa.Column("sole", sa.Boolean, primary_key=True),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.CheckConstraint("sole", name="identity_trait_key_only_one"),
    )


def _version_before() -> None:
    """A link that the version before writes has no parent, and one whose visitor it then hears of
    as a customer keeps its date: both become what this migration makes of those of before."""
    op.execute("""
    CREATE FUNCTION identities_complete() RETURNS trigger LANGUAGE plpgsql
    SET search_path FROM CURRENT AS $$
    BEGIN
      UPDATE merges SET through = 'alias'
      WHERE absorbed_id = NEW.id AND through = 'event' AND ended_at IS NULL AND NEW.known;
      IF NOT FOUND THEN
        INSERT INTO merges
          (id, through, absorbed_id, survivor_id, cause, made_by, happened_at, made_at)
        VALUES (gen_random_uuid()::text, CASE WHEN NEW.known THEN 'alias' ELSE 'event' END,
                NEW.id, NEW.canonical_id, NEW.linked_by, '/ingest', NEW.linked_at, NEW.linked_at);
      END IF;
      UPDATE identities SET parent_id = canonical_id, told_at = coalesce(told_at, linked_at),
             linked_at = CASE WHEN NOT known THEN timestamptz 'epoch' END,
             linked_by = CASE WHEN NOT known THEN linked_by END
      WHERE id = NEW.id;
      RETURN NULL;
    END $$
    """)
    op.execute("""
    CREATE TRIGGER identities_complete AFTER INSERT OR UPDATE ON identities FOR EACH ROW
    WHEN (NEW.canonical_id <> NEW.id AND NEW.linked_at IS NOT NULL
          AND (NEW.parent_id IS NULL OR NEW.known))
    EXECUTE FUNCTION identities_complete()
    """)
