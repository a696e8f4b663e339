"""From outcomes to the events that tell the world about them."""

from collections.abc import Sequence
from datetime import datetime

from services.scoring.domain.assessing import Subject, assessments_of
from services.scoring.domain.bands import Crossing
from services.scoring.domain.columns import columns_of
from services.scoring.domain.features import NO_WARMTH
from services.scoring.domain.timeline import Outcome, Rules
from shared.events.envelope import Data, Event
from shared.events.scoring import (
    Assessment,
    AssessmentUpdated,
    ChangedData,
    LifecycleChanged,
    SegmentChanged,
    ThresholdCrossed,
    ThresholdCrossedData,
)

SOURCE = "/scoring"
# Ordinals of one customer's crossings for one cause: more than there will ever be thresholds.
_CROSSINGS_MAX = 100


def pictures(outcomes: Sequence[Outcome], rules: Rules) -> list[Assessment]:
    """The full assessment of each outcome."""
    subjects = [
        Subject(one.visit.customer_id, one.visit.as_of, one.currency, one.step.standing)
        for one in outcomes
    ]
    if not subjects:
        return []
    columns = columns_of([one.row for one in outcomes], len(NO_WARMTH))
    return assessments_of(subjects, columns, rules.model, rules.horizon_days)


def news(outcomes: Sequence[Outcome], rules: Rules) -> list[Event]:
    """The events of the outcomes that are worth telling, in order."""
    told = [one for one in outcomes if one.step.published]
    events: list[Event] = []
    for outcome, picture in zip(told, pictures(told, rules), strict=True):
        events.extend(_events(outcome, picture))
    return events


def _events(outcome: Outcome, picture: Assessment) -> list[Event]:
    step, ordinal = outcome.step, outcome.visit.ordinal
    events: list[Event] = [
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
        changed = ChangedData(previous=before.segment if before else None, current=now.segment)
        events.append(_event(SegmentChanged, outcome, changed, ordinal))
    if step.lifecycle_changed:
        changed = ChangedData(previous=before.lifecycle if before else None, current=now.lifecycle)
        events.append(_event(LifecycleChanged, outcome, changed, ordinal))
    events.append(_event(AssessmentUpdated, outcome, picture, ordinal))
    return events


def _event(kind: type[Event], outcome: Outcome, data: Data, ordinal: int) -> Event:
    visit = outcome.visit
    time: datetime = visit.as_of
    return kind.caused_by(
        visit.cause,
        source=SOURCE,
        subject=visit.customer_id,
        time=time,
        recordedtime=visit.recorded_at,
        data=data,
        ordinal=ordinal,
        origin=visit.origin,
    )


def _crossed(crossing: Crossing, picture: Assessment) -> ThresholdCrossedData:
    return ThresholdCrossedData(
        threshold=crossing.threshold.name,
        metric=crossing.threshold.metric,
        direction=crossing.direction,
        value=crossing.value,
        level=crossing.level,
        drivers=picture.churn.drivers,
        churn_risk=picture.churn.risk,
        churn_band=picture.churn.band,
        clv_historic=picture.clv.historic,
        clv_predicted_12m=picture.clv.predicted_12m,
        clv_tier=picture.clv.tier,
        currency=picture.clv.currency,
        segment=picture.segment,
        lifecycle=picture.lifecycle,
    )
