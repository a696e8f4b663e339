"""The address guard: what may never be called, however it is written."""

from ipaddress import ip_network

import pytest

from services.webhooks.domain.addresses import canonical, is_public, literal
from services.webhooks.domain.target import Guard, Refused, Target, target_of

FORBIDDEN = [
    "127.0.0.1",
    "127.255.255.254",
    "10.1.2.3",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",  # noqa: S104 — an address to refuse
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "198.51.100.7",
    "203.0.113.9",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "fec0::1",
    "ff02::1",
]
PUBLIC = ["1.1.1.1", "8.8.8.8", "93.184.216.34", "172.32.0.1", "2606:4700:4700::1111", "2a00::1"]
LOOPBACK_SPELLINGS = [
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "127.1",
    "0x7f.1",
    "127.0.0.1.",
    "017700000001",
]


@pytest.mark.parametrize("address", FORBIDDEN)
def test_no_special_address_is_public(address: str) -> None:
    assert not is_public(canonical(address))


@pytest.mark.parametrize("address", PUBLIC)
def test_ordinary_addresses_are_public(address: str) -> None:
    assert is_public(canonical(address))


def test_a_mapped_address_is_what_it_maps() -> None:
    assert canonical("::ffff:8.8.8.8") == canonical("8.8.8.8")


def test_an_address_with_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="zone"):
        canonical("fe80::1%eth0")


@pytest.mark.parametrize("spelling", LOOPBACK_SPELLINGS)
def test_every_spelling_of_an_address_is_recognised(spelling: str) -> None:
    assert str(literal(spelling)) == "127.0.0.1"


@pytest.mark.parametrize("name", ["example.com", "1.example", "08", "256.1.1.1.1", "1.2.3.256", ""])
def test_names_are_not_addresses(name: str) -> None:
    assert literal(name) is None


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/",
        "file:///etc/passwd",
        "gopher://example.com/",
        "example.com/hook",
        "https://user:secret@example.com/",
        "https://@example.com/",
        "https:///hook",
        "https://exa mple.com/",
        "https://example.com\\@evil.example/",
        "https://example.com/#part",
        "https://example.com:0/",
        "https://example.com:99999/",
        "https://[fe80::1%25eth0]/",
        "https://[::1/",
        "https://" + "a" * 3_000,
    ],
)
def test_a_url_of_another_form_is_refused(url: str) -> None:
    assert isinstance(target_of(url), Refused)


def test_a_url_is_taken_apart() -> None:
    assert target_of("https://Example.com/hook?a=b") == Target("https", "example.com", 443)
    assert target_of("http://example.com:8080") == Target("http", "example.com", 8080)
    assert target_of("https://[2606::1]:8443/") == Target("https", "2606::1", 8443)


def test_full_width_digits_are_digits() -> None:
    assert target_of("https://\uff11\uff12\uff17.0.0.1/") == Target("https", "127.0.0.1", 443)


HOOK = Target("https", "shop.example", 443)


def test_a_public_https_target_is_let_through() -> None:
    assert Guard().refusal(HOOK, [canonical("93.184.216.34")]) is None


def test_one_private_address_among_public_ones_refuses_the_host() -> None:
    assert Guard().refusal(HOOK, [canonical("93.184.216.34"), canonical("10.0.0.1")]) is not None


def test_a_host_without_addresses_is_refused() -> None:
    assert Guard().refusal(HOOK, []) is not None


@pytest.mark.parametrize(
    "target",
    [
        Target("http", "shop.example", 443),
        Target("https", "shop.example", 22),
        Target("https", "shop.example", 9092),
    ],
)
def test_http_and_strange_ports_are_refused_by_default(target: Target) -> None:
    assert Guard().refusal(target, [canonical("93.184.216.34")]) is not None


def test_http_and_port_80_come_with_a_setting() -> None:
    target = Target("http", "shop.example", 80)
    assert Guard(http_permitted=True).refusal(target, [canonical("93.184.216.34")]) is None


def test_an_allowed_network_is_exempt_and_no_other() -> None:
    guard = Guard((ip_network("127.0.0.0/8"),))
    target = Target("http", "127.0.0.1", 9)
    assert guard.refusal(target, [canonical("127.0.0.1")]) is None
    assert guard.refusal(target, [canonical("::ffff:127.0.0.1")]) is None
    assert guard.refusal(target, [canonical("10.0.0.1")]) is not None
    assert guard.refusal(target, [canonical("::1")]) is not None
    assert guard.refusal(target, [canonical("127.0.0.1"), canonical("8.8.8.8")]) is not None
