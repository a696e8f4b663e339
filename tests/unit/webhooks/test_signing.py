"""Signatures: the published vectors, and the package that subscribers verify with."""

import base64
from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from services.webhooks.domain import signing

ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
TIMESTAMP = 1614265330
BODY = b'{"test": 2432232314}'
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_vector_of_the_specification_is_met() -> None:
    assert signing.signature(signing.key_of(SECRET), ID, TIMESTAMP, BODY) == SIGNATURE


def test_one_other_byte_gives_another_signature() -> None:
    key = signing.key_of(SECRET)
    assert signing.signature(key, ID, TIMESTAMP, BODY + b" ") != SIGNATURE
    assert signing.signature(key, ID, TIMESTAMP + 1, BODY) != SIGNATURE
    assert signing.signature(key, ID + "x", TIMESTAMP, BODY) != SIGNATURE


@pytest.mark.parametrize(
    ("secret", "size"),
    [("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS", 23), ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwBr", 25)],
)
def test_a_secret_without_prefix_or_padding_is_read(secret: str, size: int) -> None:
    key = signing.key_of(secret)
    assert len(key) == size
    now = int(datetime.now(UTC).timestamp())
    padded = base64.b64encode(key).decode()
    Webhook(padded).verify(BODY, dict(signing.headers([key], ID, now, BODY)))


def test_a_formatted_secret_reads_back() -> None:
    key = bytes(range(32))
    secret = signing.format_secret(key)
    assert secret.startswith("whsec_")
    assert signing.key_of(secret) == key


def test_the_standard_package_accepts_our_headers_and_refuses_a_changed_body() -> None:
    now = int(datetime.now(UTC).timestamp())
    headers = dict(signing.headers([signing.key_of(SECRET)], ID, now, BODY))
    assert Webhook(SECRET).verify(BODY, headers) == {"test": 2432232314}
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(BODY.replace(b"2", b"3"), headers)


def test_during_rotation_both_secrets_verify_and_the_newest_comes_first() -> None:
    now = int(datetime.now(UTC).timestamp())
    old, new = bytes(range(32)), bytes(range(32, 64))
    headers = dict(signing.headers([new, old], ID, now, BODY))
    tokens = headers["webhook-signature"].split(" ")
    assert tokens == [
        signing.signature(new, ID, now, BODY),
        signing.signature(old, ID, now, BODY),
    ]
    for key in (old, new):
        Webhook(signing.format_secret(key)).verify(BODY, headers)


def test_what_would_not_verify_never_leaves() -> None:
    key = signing.key_of(SECRET)
    for keys, message, body in (([], ID, BODY), ([key], "msg.1", BODY), ([key], ID, b"")):
        with pytest.raises(AssertionError):
            signing.headers(keys, message, TIMESTAMP, body)
