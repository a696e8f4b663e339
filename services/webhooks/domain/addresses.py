"""Which addresses a webhook may reach, judged on the canonical form of the address, never on text.

`ipaddress.is_global` is not enough: Python 3.11 calls 6to4, NAT64, site-local, IPv4-compatible and
multicast addresses global. Source of the list: IANA special-purpose registries (RFC 6890, 8190).
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from string import hexdigits, octdigits

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_DENIED_V4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
# All that is unicast and global in IPv6 lies here; loopback, mapped, NAT64, local and multicast
# addresses lie outside.
_GLOBAL_V6 = IPv6Network("2000::/3")
_DENIED_V6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",
        "2001:db8::/32",
        "2002::/16",
        "2620:4f:8000::/48",
        "3fff::/20",
        "3ffe::/16",
    )
)
_INET_ATON_PARTS_MAX = 4


def canonical(address: str) -> Address:
    """The address itself, an IPv4-mapped one unwrapped; zone ids and other text: `ValueError`."""
    if "%" in address:
        raise ValueError("an address with a zone is local")
    parsed = ip_address(address)
    mapped = parsed.ipv4_mapped if isinstance(parsed, IPv6Address) else None
    return parsed if mapped is None else mapped


def is_public(address: Address) -> bool:
    """Whether this is an ordinary address of the public internet."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _DENIED_V4)
    return address in _GLOBAL_V6 and not any(address in network for network in _DENIED_V6)


def is_in(address: Address, networks: tuple[Network, ...]) -> bool:
    """Whether one of these networks has the address."""
    return any(address.version == one.version and address in one for one in networks)


def literal(host: str) -> Address | None:
    """The address that a host spells, in any way that `inet_aton` takes, or None for a name.

    So `2130706433`, `0x7f.1`, `0177.0.0.1` and `127.1` are all 127.0.0.1.
    """
    try:
        return canonical(host)
    except ValueError:
        return _legacy_ipv4(host.removesuffix("."))


def _legacy_ipv4(host: str) -> IPv4Address | None:
    parts = [_number(part) for part in host.split(".")]
    numbers = [part for part in parts if part is not None]
    if len(numbers) != len(parts) or len(numbers) > _INET_ATON_PARTS_MAX:
        return None
    *leading, last = numbers
    if any(number >= 1 << 8 for number in leading) or last >= 256 ** (5 - len(numbers)):
        return None
    value = sum(number << (24 - 8 * place) for place, number in enumerate(leading))
    return IPv4Address(value + last)


def _number(part: str) -> int | None:
    """One part of an old spelling: decimal, `0x` hexadecimal, or `0` octal."""
    lowered = part.lower()
    if lowered.startswith("0x"):
        digits = lowered[2:]
        return int(digits or "0", 16) if all(digit in hexdigits for digit in digits) else None
    if not (part.isascii() and part.isdigit()):
        return None
    if part.startswith("0"):
        return int(part, 8) if all(digit in octdigits for digit in part) else None
    return int(part)
