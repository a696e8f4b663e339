"""What webhooks opens at start, in each role's event loop."""

from dataclasses import dataclass
from datetime import timedelta

from services.webhooks.handlers.courier import Courier
from services.webhooks.sender import Sender
from services.webhooks.store.vault import Vault


@dataclass(frozen=True, slots=True)
class Means:
    """`context.resources` and `tx.resources` of this service.

    `disabled_queue`: how long events are kept for an endpoint that is disabled.
    """

    vault: Vault
    sender: Sender
    courier: Courier
    disabled_queue: timedelta
