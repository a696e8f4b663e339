"""What operators do with endpoints: create, change, delete, rotate secrets, test, send again."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from services.webhooks.domain import message, signing
from services.webhooks.domain.standing import Standing, disabled_by_hand, enabled_again
from services.webhooks.handlers.backlog import release
from services.webhooks.handlers.means import Means
from services.webhooks.store import deliveries, endpoints, messages
from services.webhooks.store.leases import AGAIN, LIVE
from services.webhooks.store.messages import NewMessage
from services.webhooks.store.rows import Backlog, EndpointRow, Waiting
from shared.ids import DeliveryId, EndpointId, random_event_id, random_id, random_secret_bytes
from shared.runtime.db import Transaction

TEST_TYPE = "endpoint.test"


@dataclass(frozen=True, slots=True)
class Wish:
    """What an operator wants of an endpoint; None leaves a field as it is.

    `waiting` says what becomes of deliveries that waited while the endpoint was disabled.
    """

    url: str | None = None
    event_types: Sequence[str] | None = None
    description: str | None = None
    enabled: bool | None = None
    rate_per_second: int | None = None
    unlimited: bool = False
    waiting: Waiting = "resume"


@dataclass(frozen=True, slots=True)
class TooMany:
    """The limit of endpoints is reached."""

    limit: int


async def create(
    tx: Transaction, wish: Wish, now: datetime, endpoints_max: int
) -> tuple[EndpointRow, str] | TooMany:
    """A new endpoint and its secret, which is never shown again."""
    if await endpoints.count(tx.driver) >= endpoints_max:
        return TooMany(endpoints_max)
    assert wish.url is not None
    endpoint = EndpointRow(
        id=EndpointId(random_id("ep")),
        url=wish.url,
        event_types=tuple(wish.event_types or ()),
        description=wish.description or "",
        rate_per_second=wish.rate_per_second,
        standing=Standing(),
        created_at=now,
        updated_at=now,
    )
    await endpoints.insert(tx.driver, endpoint)
    return endpoint, await _add_secret(tx, endpoint.id, now)


async def change(
    tx: Transaction, endpoint: EndpointId, wish: Wish, now: datetime, backlog_rows_max: int
) -> EndpointRow | None:
    """The endpoint after the change, or None when there is no such endpoint.

    When it is enabled, what waited goes after live traffic or not at all: a first piece of it here,
    the rest by the job.
    """
    before = await endpoints.get_locked(tx.driver, endpoint)
    if before is None:
        return None
    after = replace(
        before,
        url=before.url if wish.url is None else wish.url,
        event_types=before.event_types if wish.event_types is None else tuple(wish.event_types),
        description=before.description if wish.description is None else wish.description,
        rate_per_second=_rate(before, wish),
        standing=_standing(before.standing, wish.enabled, now),
        updated_at=now,
    )
    await endpoints.update(tx.driver, after)
    if after.standing.enabled and not before.standing.enabled:
        backlog = Backlog(endpoint, wish.waiting, now)
        await endpoints.set_backlog(tx.driver, backlog)
        await release(tx, backlog, now, backlog_rows_max)
    return after


def _rate(before: EndpointRow, wish: Wish) -> int | None:
    if wish.unlimited:
        return None
    return before.rate_per_second if wish.rate_per_second is None else wish.rate_per_second


def _standing(standing: Standing, enabled: bool | None, now: datetime) -> Standing:
    if enabled is None:
        return standing
    return enabled_again(standing) if enabled else disabled_by_hand(standing, now)


async def rotate(
    tx: Transaction, endpoint: EndpointId, now: datetime, overlap: timedelta, keep: int
) -> str | None:
    """A new secret; the old ones sign along until `overlap` is over. None: no such endpoint."""
    if await endpoints.get_locked(tx.driver, endpoint) is None:
        return None
    await endpoints.expire_secrets(tx.driver, endpoint, now + overlap)
    secret = await _add_secret(tx, endpoint, now)
    await endpoints.trim_secrets(tx.driver, endpoint, now, keep)
    return secret


async def _add_secret(tx: Transaction, endpoint: EndpointId, now: datetime) -> str:
    means: Means = tx.resources
    key = random_secret_bytes(signing.SECRET_BYTES)
    await endpoints.add_secret(tx.driver, endpoint, means.vault.seal(key, endpoint), now)
    return signing.format_secret(key)


async def send_test(
    tx: Transaction, endpoint: EndpointId, event_type: str, data: str, now: datetime
) -> DeliveryId:
    """Queues a message that nothing caused, marked as a test; `data` is JSON."""
    event_id = random_event_id()
    sequences = await messages.take_sequences(tx.driver, {endpoint: 1})
    identity = random_id("msg")
    delivery = message.delivery_id(identity, endpoint)
    body = message.encode(
        event_type=event_type,
        timestamp=now.isoformat().replace("+00:00", "Z"),
        data=data,
        event_id=event_id,
        customer_id=None,
        sequence=sequences[endpoint],
        test=True,
    )
    new = NewMessage(
        identity,
        event_id,
        event_type,
        endpoint,
        sequences[endpoint],
        body,
        ((delivery, endpoint),),
    )
    await messages.insert(tx.driver, [new], now, LIVE)
    return delivery


async def resend(tx: Transaction, delivery: DeliveryId, now: datetime) -> bool:
    """Sends once more, as a new series of attempts; False when its content was erased."""
    return await deliveries.resend(tx.driver, delivery, now)


LANES = {LIVE: "live", AGAIN: "again"}
