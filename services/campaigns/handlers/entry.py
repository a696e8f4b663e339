"""A threshold was crossed: who enters a journey, and what is planned at once."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from services.campaigns import rules
from services.campaigns.domain import journey
from services.campaigns.domain.definition import Definition
from services.campaigns.domain.facts import facts_of
from services.campaigns.domain.journey import Enrolment, Past, Refused
from services.campaigns.domain.person import Person
from services.campaigns.handlers.changes import Cause, Changes, entry_decision, journey_data, start
from services.campaigns.store import journeys, people
from shared.events.campaigns import JourneyEntered
from shared.events.scoring import ThresholdCrossed
from shared.ids import derived_id
from shared.runtime.db import Transaction


async def enter(
    tx: Transaction,
    events: Sequence[ThresholdCrossed],
    *,
    now: datetime,  # noqa: ARG001 — events are judged as of their own instant
) -> None:
    """Judges each crossing for each live journey, in order, as of the crossing's own instant."""
    versions = await journeys.live(tx.driver)
    gone = await people.erased_at(tx.driver, {one.subject for one in events})
    events = [one for one in events if one.subject not in gone or one.time > gone[one.subject]]
    if not events or not versions:
        return
    persons = await people.lock(tx.driver, (one.subject for one in events))
    known = await journeys.past_of(
        tx.driver, people.all_ids(persons.values()), [one.journey for one in versions]
    )
    changes = Changes(tx)
    past = _by_person(known, persons)
    for event in events:
        at = tx.at(event)
        for version in versions:
            before = past.setdefault((persons[event.subject].canonical, version.journey), [])
            enrolment = _judge(changes, version, event, before, at)
            if enrolment is not None:
                before.append(Past(enrolment.entered_at, enrolment.state))
    await changes.save()


def _by_person(
    known: Sequence[Enrolment], persons: Mapping[str, Person]
) -> dict[tuple[str, str], list[Past]]:
    """What each person has been through, under any of their ids."""
    canonical = {each: one.canonical for one in persons.values() for each in one.ids}
    past: dict[tuple[str, str], list[Past]] = {}
    for one in known:
        key = (canonical[one.customer_id], one.journey)
        past.setdefault(key, []).append(Past(one.entered_at, one.state))
    return past


def _judge(
    changes: Changes,
    version: Definition,
    event: ThresholdCrossed,
    past: Sequence[Past],
    at: datetime,
) -> Enrolment | None:
    """The enrolment, moved as far as it goes at once; None when the customer stays outside."""
    facts = facts_of(event)
    answer = journey.admit(version, facts, past, at, rules.judge)
    if isinstance(answer, Refused):
        changes.decisions.append(
            entry_decision(version, event, at, "not_entered", answer.rule, answer.reason)
        )
        return None
    enrolment = Enrolment(
        enrolment_id=derived_id(event.id, f"enrolment:{version.journey}"),
        customer_id=event.subject,
        journey=version.journey,
        version=version.version,
        state="active",
        step=version.start,
        facts=facts,
        reason=answer.reason,
        cause=event.id,
        entered_at=at,
    )
    changes.decisions.append(
        entry_decision(
            version,
            event,
            at,
            "entered",
            "entry",
            answer.reason,
            enrolment_id=enrolment.enrolment_id,
        )
    )
    data = journey_data(enrolment, answer.reason)
    changes.tell(JourneyEntered, Cause(event.id), event.subject, at, data)
    moved = start(version, enrolment, at)
    changes.go(version, moved, Cause(event.id), at)
    return moved.enrolment
