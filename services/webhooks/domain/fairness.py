"""How the slots for calls are shared: endpoints that keep failing must not take them all."""

import hashlib
from collections.abc import Collection, Mapping
from datetime import datetime

from shared.ids import EndpointId


def failing_max(calls_max: int) -> int:
    """How many calls may be in flight to failing endpoints together: half, so that however many
    hang, the others are served."""
    return max(1, calls_max // 2)


def allot(
    wanted: Mapping[EndpointId, int], failing: Collection[EndpointId], room: int, now: datetime
) -> dict[EndpointId, int]:
    """The slots of each endpoint: the failing ones share `room`, every time in another order."""
    slots = {endpoint: many for endpoint, many in wanted.items() if endpoint not in failing}
    for endpoint in sorted(failing, key=lambda one: _turn(one, now)):
        slots[endpoint] = max(0, min(wanted[endpoint], room))
        room -= slots[endpoint]
    return slots


def _turn(endpoint: EndpointId, now: datetime) -> bytes:
    return hashlib.blake2b(f"{endpoint}\x1f{now.timestamp()}".encode(), digest_size=8).digest()
