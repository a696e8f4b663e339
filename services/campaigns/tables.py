"""The schema of campaigns. State is kept per original customer id and combined when read."""

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

METADATA = sa.MetaData()


def _instant(name: str, *, required: bool = False) -> "sa.Column[object]":
    return sa.Column(name, sa.DateTime(timezone=True), nullable=not required)


def _text(name: str, *, key: bool = False, required: bool = True) -> "sa.Column[str]":
    return sa.Column(name, sa.Text, primary_key=key, nullable=not (required or key))


# One row per known id: what is locked before anything is decided about its person.
CUSTOMERS = sa.Table(
    "customers",
    METADATA,
    _text("customer_id", key=True),
    _text("survivor_id", required=False),
    # Whether `survivor_id` is the last word of a merge or unmerge; else it is presumed at most.
    sa.Column("link_told", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Index(
        "customers_survivor", "survivor_id", postgresql_where=sa.text("survivor_id IS NOT NULL")
    ),
)

# A digest, so that what was erased can be recognised when it comes late, and not be read.
ERASED = sa.Table(
    "erased",
    METADATA,
    sa.Column("customer_digest", sa.LargeBinary, primary_key=True),
    _instant("erased_at", required=True),
)

# All personal data of this service is in this table.
TRAITS = sa.Table(
    "traits",
    METADATA,
    _text("customer_id", key=True),
    _text("trait", key=True),
    sa.Column("value", JSONB, nullable=False),
    _text("problem", required=False),
    _instant("set_at", required=True),
)

CONSENTS = sa.Table(
    "consents",
    METADATA,
    _text("customer_id", key=True),
    _text("channel", key=True),
    _text("purpose", key=True),
    _text("origin", key=True),
    sa.Column("granted", sa.Boolean, nullable=False),
    _text("source"),
    _instant("said_at", required=True),
    _instant("repeated_at"),
    _instant("contrary_at"),
    sa.CheckConstraint("origin IN ('shop', 'person', 'operator', 'link')", name="consents_origin"),
)

JOURNEYS = sa.Table(
    "journeys",
    METADATA,
    _text("journey", key=True),
    _text("state"),
    sa.Column("live_version", sa.Integer, nullable=False),
    sa.CheckConstraint("state IN ('live', 'paused')", name="journeys_state"),
)

JOURNEY_VERSIONS = sa.Table(
    "journey_versions",
    METADATA,
    _text("journey", key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("definition", JSONB, nullable=False),
    _instant("created_at", required=True),
)

ENROLMENTS = sa.Table(
    "enrolments",
    METADATA,
    _text("customer_id", key=True),
    _text("enrolment_id", key=True),
    _text("journey"),
    sa.Column("version", sa.Integer, nullable=False),
    _text("state"),
    _text("step"),
    sa.Column("facts", JSONB, nullable=False),
    _text("reason"),
    _text("cause"),
    _instant("entered_at", required=True),
    _instant("wake_at"),
    _instant("left_at"),
    sa.CheckConstraint("state IN ('active', 'finished', 'left')", name="enrolments_state"),
    sa.CheckConstraint(
        "(state = 'active') = (left_at IS NULL)", name="enrolments_left_at_when_over"
    ),
    sa.Index("enrolments_id", "enrolment_id", unique=True),
    # One at a time: the last line of defence behind the journey's re-entry rule.
    sa.Index(
        "enrolments_one_active",
        "customer_id",
        "journey",
        unique=True,
        postgresql_where=sa.text("state = 'active'"),
    ),
    sa.Index("enrolments_wake", "wake_at", postgresql_where=sa.text("wake_at IS NOT NULL")),
)

INTERVENTIONS = sa.Table(
    "interventions",
    METADATA,
    _text("customer_id", key=True),
    _text("intervention_id", key=True),
    _text("journey"),
    sa.Column("version", sa.Integer, nullable=False),
    _text("enrolment_id"),
    _text("step"),
    _text("channel"),
    _text("purpose"),
    _text("state"),
    _text("reason"),
    _text("cause"),
    _instant("planned_at", required=True),
    _instant("due_at", required=True),
    _instant("not_after", required=True),
    _text("template", required=False),
    _text("offer", required=False),
    _text("title", required=False),
    _instant("task_due_at"),
    _text("rule", required=False),
    sa.Column("claims", sa.Integer, nullable=False, server_default="0"),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    # Wall time of the database, whatever clock drives decisions: a claim outlives no dead worker.
    _instant("leased_until"),
    _text("message_id", required=False),
    _instant("sent_at"),
    _instant("convert_until"),
    _instant("converted_at"),
    sa.Column("value", sa.Numeric(18, 6)),
    _text("currency", required=False),
    _text("addressee_id", required=False),
    sa.UniqueConstraint(
        "journey", "version", "enrolment_id", "step", "channel", name="interventions_only_once"
    ),
    sa.CheckConstraint(
        "state IN ('awaiting', 'planned', 'held', 'sending', 'sent', 'failed', 'suppressed', "
        "'dismissed')",
        name="interventions_state",
    ),
    sa.CheckConstraint(
        "state <> 'sending' OR leased_until IS NOT NULL", name="interventions_sending_is_leased"
    ),
    sa.Index("interventions_id", "intervention_id", unique=True),
    sa.Index(
        "interventions_addressee",
        "addressee_id",
        postgresql_where=sa.text("addressee_id IS NOT NULL"),
    ),
    sa.Index(
        "interventions_due",
        "due_at",
        "intervention_id",
        postgresql_where=sa.text("state IN ('planned', 'held', 'sending')"),
    ),
    sa.Index("interventions_list", "planned_at", "intervention_id"),
    sa.Index("interventions_sent", "customer_id", "sent_at"),
)

DECISIONS = sa.Table(
    "decisions",
    METADATA,
    _text("customer_id", key=True),
    sa.Column("decided_at", sa.DateTime(timezone=True), primary_key=True),
    # What comes first of one instant: entry, gate, delivery, person.
    sa.Column("rank", sa.SmallInteger, primary_key=True, autoincrement=False),
    _text("decision_id", key=True),
    _text("stage"),
    _text("outcome"),
    _text("rule"),
    _text("reason"),
    _text("journey"),
    sa.Column("version", sa.Integer, nullable=False),
    _text("cause"),
    _text("step", required=False),
    _text("channel", required=False),
    _text("enrolment_id", required=False),
    _text("intervention_id", required=False),
    _instant("until"),
)

TASKS = sa.Table(
    "tasks",
    METADATA,
    _text("task_id", key=True),
    _text("customer_id"),
    _text("intervention_id"),
    _text("assignee"),
    _text("title"),
    _text("reason"),
    _text("state"),
    _instant("created_at", required=True),
    _instant("due_at", required=True),
    _instant("done_at"),
    _text("outcome", required=False),
    sa.UniqueConstraint("intervention_id", name="tasks_one_per_intervention"),
    sa.CheckConstraint("state IN ('open', 'done')", name="tasks_state"),
    sa.Index("tasks_list", "state", "due_at", "task_id"),
    sa.Index("tasks_customer", "customer_id"),
)

ORDERS = sa.Table(
    "orders",
    METADATA,
    _text("customer_id", key=True),
    _text("order_id", key=True),
    _text("source"),
    _text("event_id"),
    _instant("ordered_at", required=True),
    sa.Column("total", sa.Numeric(18, 6), nullable=False),
    _text("currency"),
    sa.Column("credited", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Index("orders_age", "ordered_at", postgresql_using="brin"),
)

POLICY = sa.Table(
    "policy",
    METADATA,
    sa.Column("single", sa.Boolean, primary_key=True, server_default=sa.true()),
    sa.Column("document", JSONB, nullable=False),
    _instant("changed_at", required=True),
    sa.CheckConstraint("single", name="policy_single"),
)

SECRETS = sa.Table(
    "secrets",
    METADATA,
    _text("name", key=True),
    sa.Column("value", sa.LargeBinary, nullable=False),
)

# Messages of erased people that a provider may still keep a copy of.
MAIL_TO_FORGET = sa.Table("mail_to_forget", METADATA, _text("message_id", key=True))
