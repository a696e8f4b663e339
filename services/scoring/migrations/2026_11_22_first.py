"""States, links, purchases, assessments with their history, and models."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "scoring_0001"
down_revision = None


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '5min'")
    _states()
    _links()
    _purchases()
    _assessments()
    _assessment_history()
    _models()


def _instant(name: str, *, nullable: bool = False) -> "sa.Column[object]":
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _states() -> None:
    op.create_table(
        "states",
        sa.Column("customer_id", sa.Text, primary_key=True),
        sa.Column("state", sa.Text, nullable=False),
        _instant("as_of"),
        sa.Column("version", sa.BigInteger, nullable=False),
        postgresql_with={"fillfactor": "70"},
    )


def _links() -> None:
    op.create_table(
        "links",
        sa.Column("customer_id", sa.Text, primary_key=True),
        sa.Column("parent_id", sa.Text, nullable=False),
        sa.Column("root_id", sa.Text, nullable=False),
    )
    op.create_index("links_root", "links", ["root_id"])


def _purchases() -> None:
    op.create_table(
        "purchases",
        sa.Column("customer_id", sa.Text, primary_key=True),
        sa.Column("order_id", sa.Text, primary_key=True),
        _instant("placed_at", nullable=True),
        sa.Column("minor", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("cancelled", sa.Boolean, nullable=False),
        sa.Column("refunds", sa.Text, nullable=False),
        sa.Column("refunded_minor", sa.BigInteger, nullable=False),
    )
    op.create_index("purchases_order", "purchases", ["order_id"])


def _assessments() -> None:
    op.create_table(
        "assessments",
        sa.Column("customer_id", sa.Text, primary_key=True),
        _instant("as_of"),
        _instant("next_review_at", nullable=True),
        sa.Column("churn_risk", sa.Double, nullable=False),
        sa.Column("churn_band", sa.Text, nullable=False),
        sa.Column("engagement", sa.Double, nullable=False),
        sa.Column("health", sa.Double, nullable=False),
        sa.Column("health_band", sa.Text, nullable=False),
        sa.Column("segment", sa.Text, nullable=False),
        sa.Column("lifecycle", sa.Text, nullable=False),
        sa.Column("clv_predicted_12m", sa.Double, nullable=False),
        sa.Column("clv_tier", sa.Text, nullable=False),
        sa.Column("positions", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.CheckConstraint("churn_risk BETWEEN 0 AND 1", name="assessments_risk_is_probability"),
        postgresql_with={"fillfactor": "80"},
    )
    op.create_index("assessments_churn_risk", "assessments", ["churn_risk", "customer_id"])
    op.create_index("assessments_clv", "assessments", ["clv_predicted_12m", "customer_id"])
    op.create_index(
        "assessments_due",
        "assessments",
        ["next_review_at"],
        postgresql_where=sa.text("next_review_at IS NOT NULL"),
    )


def _assessment_history() -> None:
    op.create_table(
        "assessment_history",
        sa.Column("customer_id", sa.Text, primary_key=True),
        _instant("as_of"),
        sa.Column("serial", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("churn_risk", sa.Double, nullable=False),
        sa.Column("churn_band", sa.Text, nullable=False),
        sa.Column("engagement", sa.Double, nullable=False),
        sa.Column("health", sa.Double, nullable=False),
        sa.Column("segment", sa.Text, nullable=False),
        sa.Column("lifecycle", sa.Text, nullable=False),
        sa.Column("clv_predicted_12m", sa.Double, nullable=False),
        sa.Column("clv_tier", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("cause", sa.Text, nullable=False),
    )


def _models() -> None:
    op.create_table(
        "models",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("status", sa.Text, nullable=False),
        _instant("requested_at"),
        _instant("fitted_at", nullable=True),
        _instant("window_from", nullable=True),
        _instant("window_to", nullable=True),
        sa.Column("purchases", sa.BigInteger),
        sa.Column("parameters", JSONB),
        sa.Column("metrics", JSONB),
        sa.Column("reason", sa.Text),
        sa.Column("active", sa.Boolean, nullable=False),
        sa.Column("rescored_through", sa.Text),
        sa.CheckConstraint(
            "status IN ('requested', 'ready', 'failed', 'refused')", name="models_status"
        ),
        sa.CheckConstraint("NOT active OR status = 'ready'", name="models_active_is_ready"),
    )
    op.create_index(
        "models_one_active", "models", ["active"], unique=True, postgresql_where=sa.text("active")
    )
