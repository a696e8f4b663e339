"""The demo's receiver believes good signatures only, and hears each intervention once."""

import json
from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook

from stack.demo.happening import Intervention
from stack.demo.subscriber import Subscriber, refusal

# The vector that Standard Webhooks' own libraries are tested with.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"test": 2432232314}'
NOW = 1614265330
HEADERS = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": str(NOW),
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}


def test_the_published_vector_is_believed() -> None:
    assert refusal(SECRET, HEADERS, BODY, NOW) is None


@pytest.mark.parametrize(
    ("changed", "body", "now", "why"),
    [
        ({}, BODY + b" ", NOW, "no signature fits"),
        ({"webhook-id": "msg_other"}, BODY, NOW, "no signature fits"),
        ({"webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OA="}, BODY, NOW, "no"),
        ({"webhook-signature": "v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="}, BODY, NOW, "no"),
        ({"webhook-signature": "v1,@@@ nonsense"}, BODY, NOW, "no signature fits"),
        ({"webhook-signature": "v1,é"}, BODY, NOW, "no signature fits"),
        ({"webhook-signature": ""}, BODY, NOW, "no signature fits"),
        ({"webhook-timestamp": "soon"}, BODY, NOW, "headers are missing"),
        ({"webhook-id": ""}, BODY, NOW, "headers are missing"),
        ({}, BODY, NOW + 301, "too old"),
        ({}, BODY, NOW - 301, "future"),
    ],
)
def test_anything_else_is_refused(changed: dict[str, str], body: bytes, now: int, why: str) -> None:
    found = refusal(SECRET, HEADERS | changed, body, now)
    assert found is not None
    assert why in found


def test_the_right_one_of_several_signatures_is_enough() -> None:
    rotated = "v1a,xxxx v1,AAAA= " + HEADERS["webhook-signature"]
    assert refusal(SECRET, HEADERS | {"webhook-signature": rotated}, BODY, NOW) is None


def test_what_the_reference_library_signs_is_believed() -> None:
    at = datetime.fromtimestamp(NOW, UTC)
    for secret in (SECRET, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwBrk="):
        signed = Webhook(secret).sign("msg_1", at, BODY.decode())
        headers = {
            "webhook-id": "msg_1",
            "webhook-timestamp": str(NOW),
            "webhook-signature": signed,
        }
        assert refusal(secret, headers, BODY, NOW) is None


def delivered(kind: str, identity: str, **data: object) -> tuple[dict[str, str], bytes]:
    """A signed message."""
    body = json.dumps(
        {
            "type": kind,
            "timestamp": "2025-03-01T10:00:00Z",
            "customer_id": "c-1",
            "data": {"intervention_id": "iv-1", "channel": "email", **data},
        }
    )
    signed = Webhook(SECRET).sign(identity, datetime.fromtimestamp(NOW, UTC), body)
    headers = HEADERS | {"webhook-id": identity, "webhook-signature": signed}
    return headers, body.encode()


def test_an_intervention_is_heard_once_however_often_it_is_delivered() -> None:
    heard: list[Intervention] = []
    subscriber = Subscriber(hear=heard.append, secret=SECRET)
    message = delivered("intervention.sent", "m-1", message_id="mail-1", offer="ten")
    assert [subscriber.receive(*message, NOW) for _ in range(3)] == [204, 204, 204]
    at = datetime(2025, 3, 1, 10, tzinfo=UTC)
    assert heard == [Intervention("iv-1", "c-1", "email", at, "mail-1", "ten")]
    assert subscriber.verified == {"intervention.sent": 1}
    assert subscriber.repeated == 2


def test_what_is_not_believed_is_neither_heard_nor_remembered() -> None:
    heard: list[Intervention] = []
    subscriber = Subscriber(hear=heard.append, secret=SECRET)
    headers, body = delivered("intervention.sent", "m-1")
    assert subscriber.receive(headers, body + b" ", NOW) == 401
    assert not heard
    assert subscriber.receive(headers, body, NOW) == 204
    assert len(heard) == 1
    assert subscriber.refused == {"no signature fits": 1}


def test_other_messages_are_only_counted() -> None:
    subscriber = Subscriber(hear=lambda _: pytest.fail("no intervention"), secret=SECRET)
    assert subscriber.receive(*delivered("points.awarded", "m-2"), NOW) == 204
    assert subscriber.verified == {"points.awarded": 1}
