"""What endpoints ask for, and what they are told."""

import json

import pytest

from services.webhooks.domain.interest import Directory, Interest, matches, refusal
from services.webhooks.domain.message import body_of, delivery_id, message_id
from services.webhooks.handlers.catalogue import event_types
from services.webhooks.store.vault import KEY_FILE, Vault, open_vault
from shared.events.commerce import OrderCompleted
from shared.events.registry import parse
from shared.events.webhooks import DeliveryFailing
from shared.ids import EndpointId
from shared.testing.builders import event


@pytest.mark.parametrize(
    ("pattern", "wanted", "passed"),
    [
        ("*", ["points.awarded", "custom.gift"], []),
        ("points.*", ["points.awarded", "points.expired"], ["tier.changed", "points"]),
        ("points.awarded", ["points.awarded"], ["points.expired"]),
        ("custom.*", ["custom.gift"], ["customer.updated"]),
    ],
)
def test_patterns_match_types(pattern: str, wanted: list[str], passed: list[str]) -> None:
    assert all(matches(pattern, one) for one in wanted)
    assert not any(matches(pattern, one) for one in passed)


@pytest.mark.parametrize(
    "pattern", ["*", "points.*", "points.awarded", "custom.*", "custom.gift_1"]
)
def test_patterns_that_can_match_are_accepted(pattern: str) -> None:
    assert refusal(pattern) is None


@pytest.mark.parametrize(
    "pattern", ["", "point.*", "points.awardd", "*.awarded", "points*", "POINTS.*", "key.changed"]
)
def test_patterns_that_never_match_are_refused(pattern: str) -> None:
    assert refusal(pattern) is not None


def test_an_operator_event_is_not_told_to_the_endpoint_it_is_about() -> None:
    directory = Directory([Interest(EndpointId(one), ("*",)) for one in ("ep_1", "ep_2")])
    assert directory.wanting("delivery.failing", "ep_1") == ("ep_2",)
    assert directory.wanting("points.awarded", "ep_1") == ("ep_1", "ep_2")


def test_the_body_has_the_standard_shape_and_our_fields() -> None:
    order = event(OrderCompleted, customer="c-1", id="e-1", total="12.99")
    assert json.loads(body_of(order, 7)) == {
        "type": "order.completed",
        "timestamp": "2026-03-02T12:00:00Z",
        "data": {"order_id": "o-1", "total": "12.99", "currency": "GBP", "items": []},
        "id": "e-1",
        "customer_id": "c-1",
        "sequence": 7,
        "schema_version": 1,
    }


def test_an_operator_event_has_no_customer() -> None:
    failing = event(
        DeliveryFailing,
        customer="ep_1",
        endpoint_id="ep_1",
        delivery_id="dlv_1",
        event_type="points.awarded",
        attempts=4,
        reason="timeout",
    )
    assert json.loads(body_of(failing, 1))["customer_id"] is None


def test_ids_follow_from_the_event_and_have_no_dots() -> None:
    one = event(OrderCompleted, id="a.b", source="/shop")
    again = event(OrderCompleted, id="a.b", source="/shop", total="2.00")
    other = event(OrderCompleted, id="a.b", source="/other")
    assert message_id(one) == message_id(again)
    assert message_id(one) != message_id(other)
    assert "." not in message_id(one)
    first, second = (delivery_id(message_id(one), EndpointId(to)) for to in ("ep_1", "ep_2"))
    assert first != second


def test_every_public_type_has_a_description_a_schema_and_an_example_that_parses() -> None:
    found = event_types()
    assert {"points.awarded", "order.completed", "delivery.failing"} <= {one.type for one in found}
    for one in found:
        assert one.description, one.type
        assert one.data_schema["type"] == "object", one.type
        assert one.example is not None, one.type
        name = "custom.gift" if one.type == "custom.*" else one.type
        envelope = {
            "id": "e-1",
            "source": "/test",
            "type": name,
            "subject": "c-1",
            "time": "2026-03-02T12:00:00Z",
            "recordedtime": "2026-03-02T12:00:00Z",
            "schemaversion": one.schema_version,
            "data": one.example,
        }
        assert parse(json.dumps(envelope).encode()).type == name


def test_a_vault_opens_only_what_it_sealed_for_that_owner() -> None:
    vault = Vault(bytes(32))
    sealed = vault.seal(b"secret", "ep_1")
    assert b"secret" not in sealed
    assert vault.open(sealed, "ep_1") == b"secret"
    assert vault.open(sealed, "ep_2") is None
    assert Vault(bytes(31) + b"x").open(sealed, "ep_1") is None


def test_the_key_file_is_made_once_and_for_its_owner_only(tmp_path) -> None:  # type: ignore[no-untyped-def]
    sealed = open_vault(None, tmp_path / "data").seal(b"secret", "ep_1")
    assert open_vault(None, tmp_path / "data").open(sealed, "ep_1") == b"secret"
    path = tmp_path / "data" / KEY_FILE
    assert path.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in path.parent.iterdir()] == [KEY_FILE]


def test_a_key_of_the_wrong_size_stops_the_start(tmp_path) -> None:  # type: ignore[no-untyped-def]
    for key in ("c2hvcnQ=", "not base64!"):
        with pytest.raises(ValueError, match="32 bytes"):
            open_vault(key, tmp_path)
