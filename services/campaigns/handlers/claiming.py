"""Claims what is due: the gate's last word and the lease, in one transaction.

Consent, caps and hours are read under the lock on the person that a withdrawal takes too, so of a
withdrawal and a send one sees the other: whatever commits first counts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from services.campaigns.domain import decision
from services.campaigns.domain.decision import Decision
from services.campaigns.domain.definition import Definition
from services.campaigns.domain.gate import Contact, Drop, Hold, Left, Send, Standing, Wish, check
from services.campaigns.domain.intervention import Intervention, data_of
from services.campaigns.domain.person import Person
from services.campaigns.domain.policy import Policy
from services.campaigns.domain.profile import ADDRESS_TRAITS, Profile, Trait
from services.campaigns.domain.sending import Mail
from services.campaigns.handlers import tasks
from services.campaigns.handlers.changes import Cause, tell
from services.campaigns.handlers.composing import compose
from services.campaigns.handlers.equipment import Tools
from services.campaigns.store import decisions, interventions, journeys, people, profiles, shop
from services.campaigns.store.decisions import Task
from services.campaigns.store.profiles import Statements
from services.campaigns.templates import TemplateProblem
from shared.events.campaigns import InterventionFailed, InterventionSuppressed
from shared.runtime import metrics
from shared.runtime.db import Transaction

# A claim that never comes back with an outcome is not tried for ever.
_CLAIMS_MAX = 12


@dataclass(frozen=True, slots=True)
class Claimed:
    """A message that we alone may send until `leased_until` (the database's clock)."""

    intervention: Intervention
    mail: Mail
    reason: str


@dataclass(slots=True)
class _Round:
    """What one claiming transaction knows and decides."""

    tx: Transaction
    tools: Tools
    policy: Policy
    persons: Mapping[str, Person]
    traits: Mapping[str, Sequence[Trait]]
    profiles: Mapping[str, Profile]
    statements: Mapping[str, Statements]
    contacts: dict[str, dict[str, Contact]]
    versions: Mapping[tuple[str, int], Definition]
    left: Mapping[str, Left]
    changed: list[Intervention] = field(default_factory=list)
    addressees: dict[str, str] = field(default_factory=dict)
    decided: list[Decision] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)
    claimed: list[Claimed] = field(default_factory=list)


async def claim(tx: Transaction, tools: Tools, now: datetime) -> tuple[int, list[Claimed]]:
    """How many were decided about, and those to be sent now."""
    waiting = await interventions.due_customers(tx.driver, now, tools.send_batch_rows)
    if not waiting:
        return 0, []
    # Whoever is locked by somebody else comes next time: replicas share the work this way.
    persons = await people.lock_free(tx.driver, waiting)
    ids = sorted(one for one in set(waiting) if one in persons)
    due = await interventions.due_of(tx.driver, ids, now, tools.send_batch_rows)
    if not due:
        return 0, []
    around = await _open(tx, tools, persons, due)
    for one in due:
        _decide(around, one)
    await interventions.save(tx.driver, around.changed, tools.lease)
    await interventions.address(tx.driver, around.addressees)
    await decisions.save(tx.driver, around.decided)
    await decisions.save_tasks(tx.driver, around.tasks)
    return len(due), around.claimed


async def _open(
    tx: Transaction, tools: Tools, persons: Mapping[str, Person], due: Sequence[Intervention]
) -> _Round:
    """Everything the gate asks for, in one query per table."""
    policy, _ = await shop.policy(tx.driver, tools.default_policy)
    ids = people.all_ids(persons.values())
    traits = await profiles.load_traits(tx.driver, ids)
    longest = timedelta(days=max((cap.days for cap in policy.caps), default=0))
    since = min(tx.clock.at(one.due_at) for one in due) - longest
    return _Round(
        tx=tx,
        tools=tools,
        policy=policy,
        persons=persons,
        traits=traits,
        profiles={name: profiles.profile_of(one, traits) for name, one in persons.items()},
        statements=await profiles.load_statements(tx.driver, ids),
        contacts=await interventions.contacts_of(tx.driver, ids, since),
        versions=await journeys.versions(tx.driver, ((one.journey, one.version) for one in due)),
        left=await journeys.left(tx.driver, [one.enrolment_id for one in due]),
    )


def _decide(around: _Round, one: Intervention) -> None:
    """Judged as of the instant it was due (on the event clock), so that a replay agrees."""
    at = around.tx.clock.at(one.due_at)
    wish = Wish(one.channel, one.purpose, one.not_after, around.left.get(one.enrolment_id))
    verdict = check(wish, _standing(around, one), around.policy, at)
    metrics.DECISIONS.labels(verdict.rule).inc()
    if isinstance(verdict, Send):
        _send(around, one, verdict, at)
    elif isinstance(verdict, Hold):
        _hold(around, one, verdict, at)
    else:
        _drop(around, one, verdict, at)


def _standing(around: _Round, one: Intervention) -> Standing:
    """An earlier attempt of the message itself is no reason against it."""
    person = around.persons[one.customer_id]
    contacts = [
        contact
        for each in person.ids
        for name, contact in around.contacts.get(each, {}).items()
        if name != one.intervention_id
    ]
    return Standing(
        profiles.statements_of(person, around.statements),
        around.profiles[one.customer_id],
        contacts,
    )


def _send(around: _Round, one: Intervention, verdict: Send, at: datetime) -> None:
    if one.claims >= _CLAIMS_MAX:
        _fail(around, one, f"given up: {one.claims} attempts ended without an outcome", at)
        return
    version = around.versions[one.journey, one.version]
    sending = replace(
        one,
        state="sending",
        rule=verdict.rule,
        claims=one.claims + 1,
        sent_at=at,
        convert_until=at + version.conversion_window,
    )
    if one.channel == "task":
        sent, task = tasks.give(around.tx, around.tools, sending, around.profiles[one.customer_id])
        around.changed.append(sent)
        around.tasks.append(task)
        around.decided.append(_note(sent, "sent", verdict.rule, verdict.reason, at))
    elif one.channel == "email":
        _claim_mail(around, sending, verdict, at)
    else:
        _fail(around, one, f"no provider for {one.channel} is set up", at)


def _claim_mail(around: _Round, one: Intervention, verdict: Send, at: datetime) -> None:
    sending = replace(
        one, message_id=f"{one.intervention_id}@{around.tools.mail_domain}", attempts=one.attempts
    )
    try:
        mail = compose(around.tools, sending, around.profiles[one.customer_id])
    except TemplateProblem as error:
        _fail(around, one, str(error), at)
        return
    around.changed.append(sending)
    _note_addressee(around, one)
    around.contacts.setdefault(one.customer_id, {})[one.intervention_id] = Contact(one.channel, at)
    around.decided.append(_note(sending, "allowed", verdict.rule, verdict.reason, at))
    around.claimed.append(Claimed(sending, mail, verdict.reason))


def _note_addressee(around: _Round, one: Intervention) -> None:
    """Whose address it goes to: what they answer is theirs, also when the ids are parted again.

    A retry may go to another than the attempt before.
    """
    customer, trait = one.customer_id, ADDRESS_TRAITS[one.channel]
    to = profiles.holder_of(around.persons[customer], around.traits, trait, customer)
    if to != (one.addressee_id or customer):
        around.addressees[one.intervention_id] = to


def _hold(around: _Round, one: Intervention, verdict: Hold, at: datetime) -> None:
    held = replace(one, state="held", rule=verdict.rule, due_at=verdict.until)
    around.changed.append(held)
    note = _note(one, "held", verdict.rule, verdict.reason, at)
    around.decided.append(replace(note, until=verdict.until))


def _drop(around: _Round, one: Intervention, verdict: Drop, at: datetime) -> None:
    reason = verdict.reason
    if one.state == "sending":
        reason = f"{reason} (an earlier attempt may have reached the provider)"
    dropped = replace(one, state="suppressed", rule=verdict.rule, reason=reason)
    around.changed.append(dropped)
    around.decided.append(_note(one, "dropped", verdict.rule, reason, at))
    data = data_of(one, reason=reason, rule=verdict.rule)
    tell(around.tx, InterventionSuppressed, Cause(one.cause), one.customer_id, at, data)


def _fail(around: _Round, one: Intervention, reason: str, at: datetime) -> None:
    failed = replace(one, state="failed", rule="delivery", reason=reason, sent_at=None)
    around.changed.append(failed)
    around.decided.append(_note(one, "failed", "delivery", reason, at))
    data = data_of(one, reason=reason, rule="delivery")
    tell(around.tx, InterventionFailed, Cause(one.cause), one.customer_id, at, data)


def _note(
    one: Intervention, outcome: decision.Outcome, rule: str, reason: str, at: datetime
) -> Decision:
    """The row that tells why; the instant tells repeated ones apart."""
    moment = int(at.timestamp() * 1_000_000) + one.claims
    return decision.about(one, "gate", outcome, rule, reason, at, ordinal=moment)
