"""The first tables of insights."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "insights_0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '2s'")
    op.execute("SET LOCAL statement_timeout = '30s'")
    _timelines()
    _commerce()
    _states()
    _sums()
    _identity()


def _instant(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False)


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False)


def _timelines() -> None:
    op.create_table(
        "facts",
        _text("customer_id"),
        _instant("at"),
        _instant("recorded_at"),
        _text("event_id"),
        _text("source"),
        _text("kind"),
        sa.Column("cause", sa.Text),
        sa.Column("details", JSONB, nullable=False),
        sa.PrimaryKeyConstraint("customer_id", "at", "recorded_at", "event_id", "source"),
    )
    op.create_index("facts_recorded_at", "facts", ["recorded_at"], postgresql_using="brin")
    op.create_table(
        "days",
        _text("customer_id"),
        sa.Column("day", sa.Date, nullable=False),
        _text("kind"),
        _text("rule"),
        sa.Column("events", sa.BigInteger, nullable=False),
        sa.Column("points", sa.BigInteger, nullable=False),
        sa.Column("active", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("customer_id", "day", "kind", "rule"),
        sa.CheckConstraint("events > 0", name="days_events_positive"),
        sa.CheckConstraint("points >= 0", name="days_points_not_negative"),
    )
    op.create_index("days_day_kind", "days", ["day", "kind"])
    op.create_index(
        "days_active", "days", ["day", "customer_id"], postgresql_where=sa.text("active")
    )
    op.create_table(
        "customers",
        _text("customer_id"),
        _instant("first_seen_at"),
        sa.PrimaryKeyConstraint("customer_id"),
    )


def _commerce() -> None:
    op.create_table(
        "orders",
        _text("customer_id"),
        _text("order_id"),
        _instant("at"),
        _text("event_id"),
        sa.Column("total", sa.Numeric, nullable=False),
        _text("currency"),
        sa.PrimaryKeyConstraint("customer_id", "order_id"),
    )
    op.create_index("orders_at", "orders", ["at"])
    op.create_table(
        "refunds",
        _text("customer_id"),
        _text("order_id"),
        _text("refund_id"),
        _instant("at"),
        _text("event_id"),
        sa.Column("amount", sa.Numeric, nullable=False),
        _text("currency"),
        sa.PrimaryKeyConstraint("customer_id", "order_id", "refund_id"),
    )
    op.create_index("refunds_at", "refunds", ["at"])
    op.create_table(
        "cancellations",
        _text("customer_id"),
        _text("order_id"),
        _instant("at"),
        _text("event_id"),
        sa.PrimaryKeyConstraint("customer_id", "order_id"),
    )
    op.create_index("cancellations_order_id", "cancellations", ["order_id"])


def _states() -> None:
    op.create_table(
        "standings",
        _text("customer_id"),
        _instant("at"),
        sa.Column("risk", sa.Double, nullable=False),
        _text("band"),
        _text("segment"),
        _text("lifecycle"),
        sa.Column("clv_historic", sa.Numeric, nullable=False),
        sa.Column("clv_predicted", sa.Numeric, nullable=False),
        _text("clv_tier"),
        _text("currency"),
        sa.PrimaryKeyConstraint("customer_id"),
    )
    op.create_table(
        "tiers",
        _text("customer_id"),
        _instant("at"),
        _text("tier"),
        sa.PrimaryKeyConstraint("customer_id"),
    )
    op.create_table(
        "operations",
        _text("endpoint_id"),
        _instant("at"),
        _text("event_id"),
        _text("source"),
        _text("kind"),
        sa.PrimaryKeyConstraint("endpoint_id", "at", "event_id", "source"),
    )
    op.create_index("operations_at", "operations", ["at"])
    op.create_table(
        "endpoints",
        _text("endpoint_id"),
        _instant("at"),
        _text("kind"),
        sa.PrimaryKeyConstraint("endpoint_id"),
    )


def _sums() -> None:
    op.create_table(
        "recounts",
        sa.Column("serial", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        _text("customer_id"),
    )
    op.create_table(
        "people",
        _text("customer_id"),
        sa.Column("first_seen_on", sa.Date),
        sa.Column("band", sa.Text),
        sa.Column("segment", sa.Text),
        sa.Column("lifecycle", sa.Text),
        sa.Column("currency", sa.Text),
        sa.Column("risk", sa.Numeric),
        sa.Column("clv_historic", sa.Numeric),
        sa.Column("clv_predicted", sa.Numeric),
        sa.Column("tier", sa.Text),
        sa.PrimaryKeyConstraint("customer_id"),
    )
    op.create_table(
        "arrivals",
        sa.Column("day", sa.Date, nullable=False),
        _text("segment"),
        sa.Column("people", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("day", "segment"),
    )
    op.create_table(
        "standing_sums",
        _text("band"),
        _text("segment"),
        _text("lifecycle"),
        _text("currency"),
        sa.Column("people", sa.BigInteger, nullable=False),
        sa.Column("risk", sa.Numeric, nullable=False),
        sa.Column("clv_historic", sa.Numeric, nullable=False),
        sa.Column("clv_predicted", sa.Numeric, nullable=False),
        sa.PrimaryKeyConstraint("band", "segment", "lifecycle", "currency"),
    )
    op.create_table(
        "tier_sums",
        _text("tier"),
        _text("segment"),
        sa.Column("people", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("tier", "segment"),
    )


def _identity() -> None:
    op.create_table(
        "merges",
        _text("absorbed_id"),
        _text("survivor_id"),
        sa.Column("linked", sa.Boolean, nullable=False),
        _instant("changed_at"),
        _text("changed_by"),
        _text("root_id"),
        sa.PrimaryKeyConstraint("absorbed_id"),
    )
    op.create_index("merges_survivor_id", "merges", ["survivor_id"])
    op.create_index("merges_root_id", "merges", ["root_id"])
    op.create_table(
        "erasures",
        sa.Column("customer_key", sa.LargeBinary, nullable=False),
        _instant("erased_at"),
        _text("pseudonym"),
        sa.PrimaryKeyConstraint("customer_key", "erased_at"),
    )
