"""Customers, consent, journeys and what they led to: the first tables of campaigns."""

from alembic import op

revision = "campaigns_0001"
down_revision = None

_TABLES = (
    """
    CREATE TABLE consents (
        customer_id TEXT NOT NULL,
        channel TEXT NOT NULL,
        purpose TEXT NOT NULL,
        origin TEXT NOT NULL,
        granted BOOLEAN NOT NULL,
        source TEXT NOT NULL,
        said_at TIMESTAMP WITH TIME ZONE NOT NULL,
        repeated_at TIMESTAMP WITH TIME ZONE,
        contrary_at TIMESTAMP WITH TIME ZONE,
        PRIMARY KEY (customer_id, channel, purpose, origin),
        CONSTRAINT consents_origin CHECK (origin IN ('shop', 'person', 'operator', 'link'))
    )
    """,
    """
    CREATE TABLE customers (
        customer_id TEXT NOT NULL,
        survivor_id TEXT,
        PRIMARY KEY (customer_id)
    )
    """,
    """
    CREATE INDEX customers_survivor ON customers (survivor_id) WHERE survivor_id IS NOT NULL
    """,
    """
    CREATE TABLE decisions (
        customer_id TEXT NOT NULL,
        decided_at TIMESTAMP WITH TIME ZONE NOT NULL,
        rank SMALLINT NOT NULL,
        decision_id TEXT NOT NULL,
        stage TEXT NOT NULL,
        outcome TEXT NOT NULL,
        rule TEXT NOT NULL,
        reason TEXT NOT NULL,
        journey TEXT NOT NULL,
        version INTEGER NOT NULL,
        cause TEXT NOT NULL,
        step TEXT,
        channel TEXT,
        enrolment_id TEXT,
        intervention_id TEXT,
        until TIMESTAMP WITH TIME ZONE,
        PRIMARY KEY (customer_id, decided_at, rank, decision_id)
    )
    """,
    """
    CREATE TABLE enrolments (
        customer_id TEXT NOT NULL,
        enrolment_id TEXT NOT NULL,
        journey TEXT NOT NULL,
        version INTEGER NOT NULL,
        state TEXT NOT NULL,
        step TEXT NOT NULL,
        facts JSONB NOT NULL,
        reason TEXT NOT NULL,
        cause TEXT NOT NULL,
        entered_at TIMESTAMP WITH TIME ZONE NOT NULL,
        wake_at TIMESTAMP WITH TIME ZONE,
        left_at TIMESTAMP WITH TIME ZONE,
        PRIMARY KEY (customer_id, enrolment_id),
        CONSTRAINT enrolments_state CHECK (state IN ('active', 'finished', 'left')),
        CONSTRAINT enrolments_left_at_when_over CHECK ((state = 'active') = (left_at IS NULL))
    )
    """,
    """
    CREATE UNIQUE INDEX enrolments_id ON enrolments (enrolment_id)
    """,
    """
    CREATE UNIQUE INDEX enrolments_one_active ON enrolments (customer_id, journey)
    WHERE state = 'active'
    """,
    """
    CREATE INDEX enrolments_wake ON enrolments (wake_at) WHERE wake_at IS NOT NULL
    """,
    """
    CREATE TABLE erased (
        customer_digest BYTEA NOT NULL,
        erased_at TIMESTAMP WITH TIME ZONE NOT NULL,
        PRIMARY KEY (customer_digest)
    )
    """,
    """
    CREATE TABLE interventions (
        customer_id TEXT NOT NULL,
        intervention_id TEXT NOT NULL,
        journey TEXT NOT NULL,
        version INTEGER NOT NULL,
        enrolment_id TEXT NOT NULL,
        step TEXT NOT NULL,
        channel TEXT NOT NULL,
        purpose TEXT NOT NULL,
        state TEXT NOT NULL,
        reason TEXT NOT NULL,
        cause TEXT NOT NULL,
        planned_at TIMESTAMP WITH TIME ZONE NOT NULL,
        due_at TIMESTAMP WITH TIME ZONE NOT NULL,
        not_after TIMESTAMP WITH TIME ZONE NOT NULL,
        template TEXT,
        offer TEXT,
        title TEXT,
        task_due_at TIMESTAMP WITH TIME ZONE,
        rule TEXT,
        claims INTEGER DEFAULT '0' NOT NULL,
        attempts INTEGER DEFAULT '0' NOT NULL,
        leased_until TIMESTAMP WITH TIME ZONE,
        message_id TEXT,
        sent_at TIMESTAMP WITH TIME ZONE,
        convert_until TIMESTAMP WITH TIME ZONE,
        converted_at TIMESTAMP WITH TIME ZONE,
        value NUMERIC(18, 6),
        currency TEXT,
        PRIMARY KEY (customer_id, intervention_id),
        CONSTRAINT interventions_only_once UNIQUE (journey, version, enrolment_id, step, channel),
        CONSTRAINT interventions_state CHECK (state IN ('awaiting', 'planned', 'held', 'sending',
            'sent', 'failed', 'suppressed', 'dismissed')),
        CONSTRAINT interventions_sending_is_leased
            CHECK (state <> 'sending' OR leased_until IS NOT NULL)
    )
    """,
    """
    CREATE INDEX interventions_due ON interventions (due_at, intervention_id)
    WHERE state IN ('planned', 'held', 'sending')
    """,
    """
    CREATE UNIQUE INDEX interventions_id ON interventions (intervention_id)
    """,
    """
    CREATE INDEX interventions_list ON interventions (planned_at, intervention_id)
    """,
    """
    CREATE INDEX interventions_sent ON interventions (customer_id, sent_at)
    """,
    """
    CREATE TABLE journey_versions (
        journey TEXT NOT NULL,
        version INTEGER NOT NULL,
        definition JSONB NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE NOT NULL,
        PRIMARY KEY (journey, version)
    )
    """,
    """
    CREATE TABLE journeys (
        journey TEXT NOT NULL,
        state TEXT NOT NULL,
        live_version INTEGER NOT NULL,
        PRIMARY KEY (journey),
        CONSTRAINT journeys_state CHECK (state IN ('live', 'paused'))
    )
    """,
    """
    CREATE TABLE mail_to_forget (
        message_id TEXT NOT NULL,
        PRIMARY KEY (message_id)
    )
    """,
    """
    CREATE TABLE orders (
        customer_id TEXT NOT NULL,
        order_id TEXT NOT NULL,
        source TEXT NOT NULL,
        event_id TEXT NOT NULL,
        ordered_at TIMESTAMP WITH TIME ZONE NOT NULL,
        total NUMERIC(18, 6) NOT NULL,
        currency TEXT NOT NULL,
        credited BOOLEAN DEFAULT false NOT NULL,
        PRIMARY KEY (customer_id, order_id)
    )
    """,
    """
    CREATE INDEX orders_age ON orders USING brin (ordered_at)
    """,
    """
    CREATE TABLE policy (
        single BOOLEAN DEFAULT true NOT NULL,
        document JSONB NOT NULL,
        changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
        PRIMARY KEY (single),
        CONSTRAINT policy_single CHECK (single)
    )
    """,
    """
    CREATE TABLE secrets (
        name TEXT NOT NULL,
        value BYTEA NOT NULL,
        PRIMARY KEY (name)
    )
    """,
    """
    CREATE TABLE tasks (
        task_id TEXT NOT NULL,
        customer_id TEXT NOT NULL,
        intervention_id TEXT NOT NULL,
        assignee TEXT NOT NULL,
        title TEXT NOT NULL,
        reason TEXT NOT NULL,
        state TEXT NOT NULL,
        created_at TIMESTAMP WITH TIME ZONE NOT NULL,
        due_at TIMESTAMP WITH TIME ZONE NOT NULL,
        done_at TIMESTAMP WITH TIME ZONE,
        outcome TEXT,
        PRIMARY KEY (task_id),
        CONSTRAINT tasks_one_per_intervention UNIQUE (intervention_id),
        CONSTRAINT tasks_state CHECK (state IN ('open', 'done'))
    )
    """,
    """
    CREATE INDEX tasks_customer ON tasks (customer_id)
    """,
    """
    CREATE INDEX tasks_list ON tasks (state, due_at, task_id)
    """,
    """
    CREATE TABLE traits (
        customer_id TEXT NOT NULL,
        trait TEXT NOT NULL,
        value JSONB NOT NULL,
        problem TEXT,
        set_at TIMESTAMP WITH TIME ZONE NOT NULL,
        PRIMARY KEY (customer_id, trait)
    )
    """,
)


def upgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '5s'")
    op.execute("SET LOCAL statement_timeout = '5min'")
    for statement in _TABLES:
        op.execute(statement)
