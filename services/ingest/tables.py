"""The tables of ingest: who is who, what happened once, what was refused, who may post, and what
was posted for a test."""

import sqlalchemy as sa

METADATA = sa.MetaData()

# Known ids and absorbed ones never lead elsewhere; only the others are locked and updated.
IDENTITIES = sa.Table(
    "identities",
    METADATA,
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
    sa.Index(
        "identities_absorbed",
        "canonical_id",
        postgresql_where=sa.text("canonical_id <> id"),
    ),
)

IDENTITY_CONFLICTS = sa.Table(
    "identity_conflicts",
    METADATA,
    sa.Column("anonymous_id", sa.Text, primary_key=True),
    sa.Column("customer_id", sa.Text, primary_key=True),
    sa.Column("kept_id", sa.Text, nullable=False),
    sa.Column("event_id", sa.Text, nullable=False),
    sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
    sa.Index("identity_conflicts_customer", "customer_id"),
)

BUSINESS_KEYS = sa.Table(
    "business_keys",
    METADATA,
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("event_id", sa.Text, nullable=False),
    sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=False),
)

# `errors` is JSON text, not jsonb: a path may hold what jsonb cannot, and nobody queries inside.
REJECTIONS = sa.Table(
    "rejections",
    METADATA,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("event_index", sa.Integer, nullable=False),
    sa.Column("event_id", sa.Text),
    sa.Column("event_type", sa.Text),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("errors", sa.Text, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("rejected_at", sa.DateTime(timezone=True), nullable=False),
    sa.Index("rejections_newest", "rejected_at", "id"),
    sa.Index("rejections_by_reason", "reason", "rejected_at", "id"),
)

KEYS = sa.Table(
    "keys",
    METADATA,
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
    sa.Column("test", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.CheckConstraint(
        "(previous_hash IS NULL) = (previous_expires_at IS NULL)", name="keys_previous_ends"
    ),
)

# What test keys posted, in the order of its coming. `body` and `errors` are JSON texts, as above.
REHEARSALS = sa.Table(
    "rehearsals",
    METADATA,
    sa.Column("key_id", sa.Text, primary_key=True),
    sa.Column("serial", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("good", sa.Boolean, nullable=False),
    sa.Column("event_index", sa.Integer, nullable=False),
    sa.Column("event_id", sa.Text),
    sa.Column("event_type", sa.Text),
    sa.Column("errors", sa.Text, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
    sa.Index("rehearsals_oldest", "received_at"),
)
