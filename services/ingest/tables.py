"""The tables of ingest: who is who, what happened once, what was refused, who may post, and what
was posted for a test."""

import sqlalchemy as sa

METADATA = sa.MetaData()

# Events move only visitors, and lock those alone; a known id moves with the whole table held.
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
    sa.Column("parent_id", sa.Text),
    sa.Column("barred", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("told_at", sa.DateTime(timezone=True)),
    sa.Column("alias_only", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.CheckConstraint(
        "(linked_at IS NULL) = (linked_by IS NULL)", name="identities_link_is_whole"
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
    sa.Column("event_id", sa.Text),
    sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("reason", sa.Text, nullable=False, server_default="other_customer"),
    sa.Index("identity_conflicts_customer", "customer_id"),
    sa.Index("identity_conflicts_newest", "seen_at", "anonymous_id", "customer_id"),
    sa.Index("identity_conflicts_by_reason", "reason", "seen_at", "anonymous_id", "customer_id"),
)

# What joins ids, and what once did: a row is in force until it is `ended_at`. Aliases in force are
# read from here; a link by event is in `identities` too, a trait in `identity_traits`.
MERGES = sa.Table(
    "merges",
    METADATA,
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
    sa.CheckConstraint("(digest IS NULL) = (through IN ('event', 'alias'))", name="merges_traits"),
    sa.CheckConstraint(
        "(ended_at IS NULL) = (ended_by IS NULL) AND (ended_at IS NULL) = (ended_because IS NULL)",
        name="merges_end_is_whole",
    ),
    sa.Index("merges_absorbed", "absorbed_id", "made_at"),
    sa.Index("merges_survivor", "survivor_id", "made_at"),
    sa.Index(
        "merges_one_link_a_visitor",
        "absorbed_id",
        unique=True,
        postgresql_where=sa.text("ended_at IS NULL AND through = 'event'"),
    ),
    sa.Index(
        "merges_one_alias_a_pair",
        "absorbed_id",
        "survivor_id",
        unique=True,
        postgresql_where=sa.text("ended_at IS NULL AND through = 'alias'"),
    ),
)

# Verified traits, as keyed digests alone. An undone one counts no more and is remembered.
IDENTITY_TRAITS = sa.Table(
    "identity_traits",
    METADATA,
    sa.Column("digest", sa.LargeBinary, primary_key=True),
    sa.Column("customer_id", sa.Text, primary_key=True),
    sa.Column("in_force", sa.Boolean, nullable=False),
    sa.Index("identity_traits_customer", "customer_id"),
)

# What the key of the digests makes of a constant: under another key nobody would be recognised.
IDENTITY_TRAIT_KEY = sa.Table(
    "identity_trait_key",
    METADATA,
    sa.Column("sole", sa.Boolean, primary_key=True),
    sa.Column("digest", sa.LargeBinary, nullable=False),
    sa.CheckConstraint("sole", name="identity_trait_key_only_one"),
)

TRACKING_PLANS = sa.Table(
    "tracking_plans",
    METADATA,
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("document", sa.Text, nullable=False),
    sa.Column("note", sa.Text),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("active", sa.Boolean, nullable=False),
    sa.Index("tracking_plans_active", "active", unique=True, postgresql_where=sa.text("active")),
)

PLAN_VIOLATIONS = sa.Table(
    "plan_violations",
    METADATA,
    sa.Column("event_type", sa.Text, primary_key=True),
    sa.Column("field", sa.Text, primary_key=True),
    sa.Column("rule", sa.Text, primary_key=True),
    sa.Column("warned", sa.BigInteger, nullable=False),
    sa.Column("rejected", sa.BigInteger, nullable=False),
    sa.Column("event_ids", sa.ARRAY(sa.Text), nullable=False),
    sa.Column("rejection_ids", sa.ARRAY(sa.Text), nullable=False),
    sa.Column("first_seen_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=False),
)

# Names of fields, kinds of their values and counts; never a value.
PLAN_OBSERVED = sa.Table(
    "plan_observed",
    METADATA,
    sa.Column("event_type", sa.Text, primary_key=True),
    sa.Column("field", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("seen", sa.BigInteger, nullable=False),
    sa.Column("last_seen_at", sa.DateTime(timezone=True), nullable=False),
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
# `replay_id` is the event's id once a replay began: whatever is corrected later, it stays.
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
    sa.Column("default_at", sa.DateTime(timezone=True)),
    sa.Column("corrected", sa.Text),
    sa.Column("corrected_at", sa.DateTime(timezone=True)),
    sa.Column("corrected_by", sa.Text),
    sa.Column("replay_id", sa.Text),
    sa.Column("leased_until", sa.DateTime(timezone=True)),
    sa.Column("replayed_at", sa.DateTime(timezone=True)),
    sa.Column("replayed_by", sa.Text),
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
