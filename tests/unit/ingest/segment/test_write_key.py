"""Where the write key of a request is found."""

import base64
import json

import pytest

from services.ingest.domain.segment.write_key import named_in, of_authorization

KEY = f"tn_ingest_{'x' * 43}"


def basic(text: str) -> bytes:
    return b"Basic " + base64.b64encode(text.encode())


@pytest.mark.parametrize(
    ("value", "key"),
    [
        (basic(f"{KEY}:"), KEY),
        (basic(KEY), KEY),
        (b"Bearer " + KEY.encode(), KEY),
        (b"Bearer a-token-of-oauth", None),
        (basic("proxy:secret"), None),
        (basic(":"), None),
        (b"Basic %%%", None),
        (b"Digest x", None),
        (b"", None),
    ],
)
def test_credentials_that_are_no_key_of_ours_leave_it_to_the_body(
    value: bytes, key: str | None
) -> None:
    assert of_authorization(value) == key


def test_the_keys_that_a_body_names_are_found_without_reading_it() -> None:
    posing = [f'"writeKey":"tn_{n}"' for n in range(9)]
    body = {"batch": [{"event": text} for text in posing], "writeKey": KEY}

    assert named_in(json.dumps(body).encode()) == [KEY]
    assert named_in(b'{"batch": [5, "writeKey" : "%b"' % KEY.encode()) == [KEY]
    assert named_in(b'"writeKey":"x"') == []
    many = b",".join(b'"writeKey":"tn_%d"' % n for n in range(9))
    assert named_in(many) == ["tn_0", "tn_1", "tn_2", "tn_3", "tn_4"]
