"""The first tables of loyalty: the ledger, its lots, and what it remembers of orders."""

from alembic import op

revision = "loyalty_0001"
down_revision = None
branch_labels = None
depends_on = None

_ACCOUNTS = """
CREATE TABLE accounts (
    customer_id TEXT NOT NULL,
    active BIGINT DEFAULT '0' NOT NULL,
    reserved BIGINT DEFAULT '0' NOT NULL,
    debt BIGINT DEFAULT '0' NOT NULL,
    earned BIGINT DEFAULT '0' NOT NULL,
    seq BIGINT DEFAULT '0' NOT NULL,
    booked_at TIMESTAMP WITH TIME ZONE,
    tier TEXT,
    tier_since TIMESTAMP WITH TIME ZONE,
    review_at TIMESTAMP WITH TIME ZONE,
    linked_tier TEXT,
    linked_tier_since TIMESTAMP WITH TIME ZONE,
    linked_review_at TIMESTAMP WITH TIME ZONE,
    erased BOOLEAN DEFAULT false NOT NULL,
    PRIMARY KEY (customer_id),
    CONSTRAINT accounts_never_negative CHECK (
        active >= 0 AND reserved >= 0 AND debt >= 0 AND earned >= 0),
    CONSTRAINT accounts_debt_paid_first CHECK (active = 0 OR debt = 0)
)
"""
_ENTRIES = """
CREATE TABLE entries (
    customer_id TEXT NOT NULL,
    seq BIGINT NOT NULL,
    id UUID NOT NULL,
    kind TEXT NOT NULL,
    cause TEXT NOT NULL,
    rule TEXT,
    reason TEXT NOT NULL,
    order_id TEXT,
    redemption_id TEXT,
    lot_id UUID,
    reverses UUID,
    occurred_at TIMESTAMP WITH TIME ZONE NOT NULL,
    booked_at TIMESTAMP WITH TIME ZONE NOT NULL,
    active BIGINT DEFAULT '0' NOT NULL,
    reserved BIGINT DEFAULT '0' NOT NULL,
    debt BIGINT DEFAULT '0' NOT NULL,
    issued BIGINT DEFAULT '0' NOT NULL,
    expired BIGINT DEFAULT '0' NOT NULL,
    redeemed BIGINT DEFAULT '0' NOT NULL,
    written_off BIGINT DEFAULT '0' NOT NULL,
    active_after BIGINT DEFAULT '0' NOT NULL,
    reserved_after BIGINT DEFAULT '0' NOT NULL,
    debt_after BIGINT DEFAULT '0' NOT NULL,
    PRIMARY KEY (customer_id, seq),
    CONSTRAINT entries_id UNIQUE (id),
    CONSTRAINT entries_balanced CHECK (
        active + reserved - debt + issued + expired + redeemed + written_off = 0),
    CONSTRAINT entries_never_negative CHECK (
        active_after >= 0 AND reserved_after >= 0 AND debt_after >= 0)
)
"""
_LOTS = """
CREATE TABLE lots (
    customer_id TEXT NOT NULL,
    id UUID NOT NULL,
    entry_id UUID NOT NULL,
    earned_at TIMESTAMP WITH TIME ZONE NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
    points BIGINT DEFAULT '0' NOT NULL,
    remaining BIGINT DEFAULT '0' NOT NULL,
    reversed BIGINT DEFAULT '0' NOT NULL,
    expired BIGINT DEFAULT '0' NOT NULL,
    written_off BIGINT DEFAULT '0' NOT NULL,
    qualifying BOOLEAN DEFAULT true NOT NULL,
    PRIMARY KEY (customer_id, id),
    CONSTRAINT lots_remaining_bounded CHECK (remaining >= 0 AND remaining <= points),
    CONSTRAINT lots_reversed_bounded CHECK (reversed >= 0 AND reversed <= points),
    CONSTRAINT lots_expired_positive CHECK (expired >= 0),
    CONSTRAINT lots_written_off_bounded CHECK (written_off >= 0 AND written_off <= reversed)
)
"""
_LOT_ALLOCATIONS = """
CREATE TABLE lot_allocations (
    customer_id TEXT NOT NULL,
    lot_id UUID NOT NULL,
    entry_id UUID NOT NULL,
    points BIGINT NOT NULL,
    PRIMARY KEY (customer_id, lot_id, entry_id)
)
"""
_ORDERS = """
CREATE TABLE orders (
    order_id TEXT NOT NULL,
    customer_id TEXT,
    total NUMERIC DEFAULT '0' NOT NULL,
    currency TEXT,
    points BIGINT DEFAULT '0' NOT NULL,
    lot_id UUID,
    refunded NUMERIC DEFAULT '0' NOT NULL,
    reversed BIGINT DEFAULT '0' NOT NULL,
    cancel_cause TEXT,
    cancel_event_id TEXT,
    cancelled_at TIMESTAMP WITH TIME ZONE,
    cancel_applied BOOLEAN DEFAULT false NOT NULL,
    PRIMARY KEY (order_id),
    CONSTRAINT orders_reversed_bounded CHECK (reversed >= 0 AND reversed <= points)
)
"""
_REFUNDS = """
CREATE TABLE refunds (
    order_id TEXT NOT NULL,
    refund_id TEXT NOT NULL,
    amount NUMERIC NOT NULL,
    currency TEXT NOT NULL,
    cause TEXT NOT NULL,
    event_id TEXT NOT NULL,
    occurred_at TIMESTAMP WITH TIME ZONE NOT NULL,
    applied BOOLEAN DEFAULT false NOT NULL,
    PRIMARY KEY (order_id, refund_id)
)
"""
_LINKS = """
CREATE TABLE links (
    absorbed_id TEXT NOT NULL,
    survivor_id TEXT NOT NULL,
    PRIMARY KEY (absorbed_id)
)
"""
_GESTURES = """
CREATE TABLE gestures (
    customer_id TEXT NOT NULL,
    rule TEXT NOT NULL,
    given_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (customer_id, rule)
)
"""
_REDEMPTIONS = """
CREATE TABLE redemptions (
    id TEXT NOT NULL,
    customer_id TEXT NOT NULL,
    points BIGINT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    entry_ids UUID[] NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    release_at TIMESTAMP WITH TIME ZONE,
    settled_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (id),
    CONSTRAINT redemptions_points_positive CHECK (points > 0),
    CONSTRAINT redemptions_state_known CHECK (state IN ('reserved', 'captured', 'released'))
)
"""
_ANSWERS = """
CREATE TABLE answers (
    operation TEXT NOT NULL,
    key TEXT NOT NULL,
    body_hash BYTEA NOT NULL,
    customer_id TEXT NOT NULL,
    status INTEGER NOT NULL,
    answer TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (operation, key)
)
"""
_INDEXES = (
    "CREATE INDEX accounts_review_at ON accounts (review_at) WHERE review_at IS NOT NULL",
    """CREATE INDEX accounts_linked_review_at ON accounts (linked_review_at)
    WHERE linked_review_at IS NOT NULL""",
    "CREATE INDEX lots_due ON lots (expires_at) WHERE remaining > 0",
    "CREATE INDEX lots_open ON lots (customer_id, expires_at) WHERE remaining > 0",
    "CREATE INDEX lot_allocations_entry ON lot_allocations (entry_id)",
    "CREATE INDEX orders_customer ON orders (customer_id)",
    "CREATE INDEX links_survivor ON links (survivor_id)",
    "CREATE INDEX redemptions_customer ON redemptions (customer_id)",
    "CREATE INDEX redemptions_due ON redemptions (release_at) WHERE state = 'reserved'",
    "CREATE INDEX answers_created_at ON answers (created_at)",
    "CREATE INDEX answers_customer ON answers (customer_id)",
)

# Only an erasure may touch a line of the ledger, and only who it names and what people wrote in it.
_APPEND_ONLY = """
CREATE FUNCTION append_only() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    erasable text[] := ARRAY['customer_id', 'reason'];
BEGIN
    IF TG_OP = 'UPDATE' AND current_setting('loyalty.erasing', true) = 'on' THEN
        IF to_jsonb(NEW) - erasable = to_jsonb(OLD) - erasable THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION '% is append-only: book a correction instead', TG_TABLE_NAME;
END $$
"""
_ON_ROWS = """
CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table}
FOR EACH ROW EXECUTE FUNCTION append_only()
"""
_ON_TABLE = """
CREATE TRIGGER {table}_kept BEFORE TRUNCATE ON {table}
FOR EACH STATEMENT EXECUTE FUNCTION append_only()
"""


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '2s'")
    op.execute("SET LOCAL statement_timeout = '30s'")
    for statement in (
        _ACCOUNTS,
        _ENTRIES,
        _LOTS,
        _LOT_ALLOCATIONS,
        _ORDERS,
        _REFUNDS,
        _LINKS,
        _GESTURES,
        _REDEMPTIONS,
        _ANSWERS,
        *_INDEXES,
        _APPEND_ONLY,
    ):
        op.execute(statement)
    for table in ("entries", "lot_allocations"):
        op.execute(_ON_ROWS.format(table=table))
        op.execute(_ON_TABLE.format(table=table))
