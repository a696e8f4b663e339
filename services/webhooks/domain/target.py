"""Where an endpoint's URL leads, and whether webhooks may go there.

The same rule is asked twice: at registration, for a clear answer, and at every connection, with the
very addresses that the connection will use, because names can change what they point at.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from services.webhooks.domain.addresses import Address, Network, is_in, is_public

URL_CHARS_MAX = 2_000
_DEFAULT_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"^[a-z0-9_]([a-z0-9_.-]{0,251}[a-z0-9_])?\.?$")
_UNFIT = re.compile(r"[\s\\\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Target:
    """Scheme, host (lower case, ASCII; IPv6 without brackets) and port of a URL."""

    scheme: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a URL cannot be an endpoint."""

    reason: str


def target_of(url: str) -> Target | Refused:
    """Takes a URL apart, as strictly as a public form should."""
    if len(url) > URL_CHARS_MAX or _UNFIT.search(url):
        return Refused(f"at most {URL_CHARS_MAX} characters, no spaces or backslashes")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return Refused("not a URL")
    host = _host(parts)
    reason = _unfit(parts, port)
    if reason is not None or host is None:
        return Refused(reason or "no such host can exist")
    return Target(parts.scheme, host, port or _DEFAULT_PORTS[parts.scheme])


def _unfit(parts: SplitResult, port: int | None) -> str | None:
    if parts.scheme not in _DEFAULT_PORTS:
        return "the scheme must be https"
    if "@" in parts.netloc:
        return "no user name or password in a URL: they end in logs"
    if parts.fragment:
        return "a fragment is never sent"
    return "port 0 does not exist" if port == 0 else None


def _host(parts: SplitResult) -> str | None:
    """The host in ASCII: full-width digits become digits, other scripts punycode."""
    host = unicodedata.normalize("NFKC", parts.hostname or "").lower()
    if ":" in host:
        return host if "%" not in host else None
    try:
        ascii_host = host.encode("idna").decode()
    except UnicodeError:
        return None
    return ascii_host if _HOST.match(ascii_host) else None


@dataclass(frozen=True, slots=True)
class Guard:
    """Who may be called. `allowed_networks` are exempt from every rule but the URL's own form."""

    allowed_networks: tuple[Network, ...] = ()
    ports: frozenset[int] = frozenset({443, 8443})
    http_permitted: bool = False

    def exempts(self, address: Address) -> bool:
        """Whether an operator opened this address on purpose."""
        return is_in(address, self.allowed_networks)

    def refusal(self, target: Target, addresses: Sequence[Address]) -> str | None:
        """Why the target may not be called at these addresses, all of them; None when it may."""
        if not addresses:
            return "the host has no address"
        foreign = [address for address in addresses if not self.exempts(address)]
        if not foreign:
            return None
        if any(not is_public(address) for address in foreign):
            return "the host's address is not a public one"
        if target.scheme != "https" and not self.http_permitted:
            return "the scheme must be https"
        permitted = self.ports | {80} if self.http_permitted else self.ports
        if target.port not in permitted:
            return f"the port must be one of {', '.join(map(str, sorted(permitted)))}"
        return None
