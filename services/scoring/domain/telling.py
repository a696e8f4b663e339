"""From outcomes to the events that tell the world about them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from services.scoring.domain.assessing import Picture, Subject, pictures_of
from services.scoring.domain.bands import Crossing
from services.scoring.domain.timeline import Outcome, Rules
from shared.events.envelope import Event
from shared.events.scoring import (
    Assessment,
    AssessmentUpdated,
    LifecycleChanged,
    SegmentChanged,
    ThresholdCrossed,
)
from shared.events.written import Written, written

SOURCE = "/scoring"
# Ordinals of one customer's crossings for one cause: more than there will ever be thresholds.
_CROSSINGS_MAX = 100


def assessments_of(outcomes: Sequence[Outcome], rules: Rules) -> list[Assessment]:
    """The full assessment of each outcome, for who asks."""
    return [Assessment.model_validate(one) for one in _pictures(outcomes, rules)]


def news(outcomes: Sequence[Outcome], rules: Rules) -> list[Written]:
    """The events of the outcomes that are worth telling, in order."""
    told = [one for one in outcomes if one.step.published]
    events: list[Written] = []
    for outcome, picture in zip(told, _pictures(told, rules), strict=True):
        events.extend(_events(outcome, picture))
    return events


def _pictures(outcomes: Sequence[Outcome], rules: Rules) -> Iterator[Picture]:
    subjects = [
        Subject(
            one.visit.customer_id, one.visit.as_of, one.currency, one.step.standing, one.figures
        )
        for one in outcomes
    ]
    return pictures_of(subjects, rules.model, rules.horizon_days)


def _events(outcome: Outcome, picture: Picture) -> list[Written]:
    step, ordinal = outcome.step, outcome.visit.ordinal
    events = [
        _event(
            ThresholdCrossed,
            outcome,
            _crossed(crossing, picture),
            ordinal * _CROSSINGS_MAX + index,
        )
        for index, crossing in enumerate(step.crossings)
    ]
    before, now = step.previous, step.standing
    if step.segment_changed:
        changed = _changed(before and before.segment, now.segment)
        events.append(_event(SegmentChanged, outcome, changed, ordinal))
    if step.lifecycle_changed:
        changed = _changed(before and before.lifecycle, now.lifecycle)
        events.append(_event(LifecycleChanged, outcome, changed, ordinal))
    events.append(_event(AssessmentUpdated, outcome, picture, ordinal))
    return events


def _event(kind: type[Event], outcome: Outcome, data: Mapping[str, Any], ordinal: int) -> Written:
    visit = outcome.visit
    return written(
        kind,
        kind.id_because(visit.cause, ordinal, visit.origin),
        visit.cause,
        source=SOURCE,
        subject=visit.customer_id,
        time=visit.as_of,
        recordedtime=visit.recorded_at,
        data=data,
    )


def _changed(previous: str | None, current: str) -> dict[str, str]:
    return {"current": current} if previous is None else {"previous": previous, "current": current}


def _crossed(crossing: Crossing, picture: Picture) -> dict[str, Any]:
    churn, clv = picture["churn"], picture["clv"]
    return {
        "threshold": crossing.threshold.name,
        "metric": crossing.threshold.metric,
        "direction": crossing.direction,
        "value": crossing.value,
        "level": crossing.level,
        "drivers": churn["drivers"],
        "churn_risk": churn["risk"],
        "churn_band": churn["band"],
        "clv_historic": clv["historic"],
        "clv_predicted_12m": clv["predicted_12m"],
        "clv_tier": clv["tier"],
        "currency": clv["currency"],
        "segment": picture["segment"],
        "lifecycle": picture["lifecycle"],
    }
