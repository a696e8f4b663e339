"""Identities and their conflicts, business keys, rejections, API keys."""

import sqlalchemy as sa
from alembic import op

revision = "ingest_0001"
down_revision = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '5min'")
    _identities()
    _business_keys()
    _rejections()
    _keys()


def _identities() -> None:
    op.create_table(
        "identities",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("canonical_id", sa.Text, nullable=False),
        sa.Column("known", sa.Boolean, nullable=False),
        sa.Column("appeared", sa.Boolean, nullable=False),
        sa.Column("first_seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("linked_at", sa.DateTime(timezone=True)),
        sa.Column("linked_by", sa.Text),
        sa.CheckConstraint(
            "(canonical_id = id) = (linked_at IS NULL)", name="identities_linked_when_absorbed"
        ),
    )
    op.create_index(
        "identities_absorbed",
        "identities",
        ["canonical_id"],
        postgresql_where=sa.text("canonical_id <> id"),
    )
    op.create_table(
        "identity_conflicts",
        sa.Column("anonymous_id", sa.Text, primary_key=True),
        sa.Column("customer_id", sa.Text, primary_key=True),
        sa.Column("kept_id", sa.Text, nullable=False),
        sa.Column("event_id", sa.Text, nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("identity_conflicts_customer", "identity_conflicts", ["customer_id"])


def _business_keys() -> None:
    op.create_table(
        "business_keys",
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("event_id", sa.Text, nullable=False),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=False),
    )


def _rejections() -> None:
    op.create_table(
        "rejections",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("event_index", sa.Integer, nullable=False),
        sa.Column("event_id", sa.Text),
        sa.Column("event_type", sa.Text),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("errors", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("rejected_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("rejections_newest", "rejections", ["rejected_at", "id"])
    op.create_index("rejections_by_reason", "rejections", ["reason", "rejected_at", "id"])


def _keys() -> None:
    op.create_table(
        "keys",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("scopes", sa.ARRAY(sa.Text), nullable=False),
        sa.Column("secret_hash", sa.Text, nullable=False),
        sa.Column("previous_hash", sa.Text),
        sa.Column("previous_expires_at", sa.DateTime(timezone=True)),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("rotated_at", sa.DateTime(timezone=True)),
        sa.Column("expires_at", sa.DateTime(timezone=True)),
        sa.Column("revoked_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint(
            "(previous_hash IS NULL) = (previous_expires_at IS NULL)", name="keys_previous_ends"
        ),
    )
