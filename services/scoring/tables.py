"""The tables of scoring: states, links between ids, orders, assessments and their history, models.

`states` is written for every event, so nothing but its key is indexed and pages keep room for
in-place (HOT) updates. `assessments` is written when something was published or the next review
moved; it is indexed by the two orders in which lists are sorted and by the next review.
"""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

METADATA = sa.MetaData()


def _instant(name: str, *, nullable: bool = False) -> "sa.Column[object]":
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


# One row an original id; `version` guards against two writers that both thought it new.
STATES = sa.Table(
    "states",
    METADATA,
    sa.Column("customer_id", sa.Text, primary_key=True),
    sa.Column("state", sa.Text, nullable=False),
    _instant("as_of"),
    sa.Column("version", sa.BigInteger, nullable=False),
    postgresql_with={"fillfactor": "70"},
)

# An id that leads elsewhere, or (parent = itself) that stands alone again. `root_id` is the end:
# the id itself, too, while it is held apart from a parent that has as many ids as one may have.
LINKS = sa.Table(
    "links",
    METADATA,
    sa.Column("customer_id", sa.Text, primary_key=True),
    sa.Column("parent_id", sa.Text, nullable=False),
    sa.Column("root_id", sa.Text, nullable=False),
    sa.Index("links_root", "root_id"),
    sa.Index(
        "links_held",
        "parent_id",
        postgresql_where=sa.text("root_id = customer_id AND parent_id <> customer_id"),
    ),
)

# One row an order, under the original id that placed it: what a repetition or a refund is joined
# with, and what models are fitted on. `placed_at` is absent while only a refund or cancellation is
# known. Looked for by the order, because a refund may name another id of the same person.
PURCHASES = sa.Table(
    "purchases",
    METADATA,
    sa.Column("customer_id", sa.Text, primary_key=True),
    sa.Column("order_id", sa.Text, primary_key=True),
    _instant("placed_at", nullable=True),
    sa.Column("minor", sa.BigInteger, nullable=False),
    sa.Column("currency", sa.Text, nullable=False),
    sa.Column("cancelled", sa.Boolean, nullable=False),
    sa.Column("refunds", sa.Text, nullable=False),
    sa.Column("refunded_minor", sa.BigInteger, nullable=False),
    sa.Index("purchases_order", "order_id"),
)

# One row a customer. Scores are those last published; times and positions are always current.
ASSESSMENTS = sa.Table(
    "assessments",
    METADATA,
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
    sa.Index("assessments_churn_risk", "churn_risk", "customer_id"),
    sa.Index("assessments_clv", "clv_predicted_12m", "customer_id"),
    sa.Index(
        "assessments_due",
        "next_review_at",
        postgresql_where=sa.text("next_review_at IS NOT NULL"),
    ),
    postgresql_with={"fillfactor": "80"},
)

ASSESSMENT_HISTORY = sa.Table(
    "assessment_history",
    METADATA,
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

# Models and requests for one. At most one is active; none means the prior.
MODELS = sa.Table(
    "models",
    METADATA,
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
    # How far customers have been assessed anew since it became active; absent when all are.
    sa.Column("rescored_through", sa.Text),
    sa.CheckConstraint(
        "status IN ('requested', 'ready', 'failed', 'refused')", name="models_status"
    ),
    sa.CheckConstraint("NOT active OR status = 'ready'", name="models_active_is_ready"),
    sa.Index("models_one_active", "active", unique=True, postgresql_where=sa.text("active")),
)
