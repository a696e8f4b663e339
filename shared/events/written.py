"""Events written down without being made first: the same bytes, at a fraction of the cost.

A class checks what comes from outside. What a domain has just computed, rounded and named need not
be checked again for every event of a stream: a test of that domain holds what it writes against the
class, byte for byte.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

import orjson

from shared.events.envelope import Event
from shared.ids import CustomerId, EventId


class Written(NamedTuple):
    """An event as it goes on Kafka; `value` is what `Event.to_json` of its class would give."""

    kind: type[Event]
    id: EventId
    subject: CustomerId
    cause: EventId
    value: bytes


def written(
    kind: type[Event],
    event_id: EventId,
    cause: str,
    *,
    source: str,
    subject: CustomerId,
    time: datetime,
    recordedtime: datetime,
    data: Mapping[str, Any],
) -> Written:
    """An event of `kind` that follows from `cause`, written; its id is `kind.id_because(…)`.

    `data` holds what JSON can (amounts as texts, instants in UTC), in the order of the class, and
    leaves out what is absent.
    """
    envelope = {
        "specversion": "1.0",
        "id": event_id,
        "source": source,
        "type": kind.type_name(),
        "subject": subject,
        "time": time,
        "recordedtime": recordedtime,
        "datacontenttype": "application/json",
        "cause": cause,
        "schemaversion": kind.VERSION,
        "data": data,
    }
    value = orjson.dumps(envelope, option=orjson.OPT_UTC_Z)
    return Written(kind, event_id, subject, EventId(cause), value)
