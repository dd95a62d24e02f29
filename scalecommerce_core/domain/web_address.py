"""URLs that accounts choose for webhooks: only public addresses are allowed, against server-side request forgery
(SSRF).

A URL is parsed here, once, into the parts that the request is made of, so that no second parser can see another host in
it. An address is public if it is global by the IANA special-purpose registries and so is any IPv4 address embedded in
it.
"""

import re
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final
from urllib.parse import urlsplit

from attrs import frozen

Address = IPv4Address | IPv6Address

MAX_URL_LENGTH: Final = 2_000
HTTPS_PORT: Final = 443
FIRST_FREE_PORT: Final = 1_024
"""Lower ports, except 443, belong to well-known services and are refused."""

_LABEL: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)", re.IGNORECASE)
_VISIBLE: Final = re.compile(r"[!-~]+")
_UNSAFE: Final = re.compile(r'[\\"<>^`{|}]')
_LOCAL_NAMES: Final = ("localhost", "local", "internal", "lan", "home.arpa", "localdomain")

# `is_global` of the standard library differs between versions of Python; these networks are refused in all of them.
_BLOCKED_NETWORKS: Final = tuple(
    map(
        ip_network,
        (
            "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
            "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24",
            "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
            # The host agent of Azure, reachable from every virtual machine there.
            "168.63.129.16/32",
            # Teredo and other protocol assignments, documentation.
            "2001::/23", "2001:db8::/32", "3fff::/20",
        ),
    )
)  # fmt: skip
_UNICAST: Final = IPv6Network("2000::/3")
"""The part of IPv6 in public use; loopback, link-local, unique local and multicast addresses are outside of it."""
_NAT64: Final = IPv6Network("64:ff9b::/96")
_LOW_32: Final = 0xFFFF_FFFF


class UnsafeAddress(ValueError):
    """Requests to this URL or address are refused; the message tells the owner of the endpoint why."""


@frozen
class Target:
    """The parts of an accepted URL. `path` begins with a slash and includes the query."""

    scheme: str
    host: str
    port: int
    path: str
    is_loopback: bool = False
    """Whether the URL names this machine, which only development allows: then only loopback addresses are accepted."""

    @property
    def authority(self) -> str:
        """The value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == {"https": HTTPS_PORT, "http": 80}[self.scheme] else f"{host}:{self.port}"


def parse_target(url: str, *, allow_loopback: bool = False) -> Target:
    """Parse a URL; raise `UnsafeAddress` unless it is https to a public host, or to loopback where that is allowed."""
    if len(url) > MAX_URL_LENGTH:
        raise UnsafeAddress(f"At most {MAX_URL_LENGTH:,} characters are allowed.")
    if not _VISIBLE.fullmatch(url) or _UNSAFE.search(url):
        raise UnsafeAddress("Only visible ASCII characters are allowed: encode others with % (hosts as xn--…).")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise UnsafeAddress("This is not a URL such as https://example.com/hooks.") from None
    scheme = parts.scheme.lower()
    if scheme not in {"https", "http"} or not host:
        raise UnsafeAddress("This is not a URL such as https://example.com/hooks.")
    if "@" in parts.netloc:
        raise UnsafeAddress("A user name or password is not allowed in the URL: verify the signature instead.")
    if "#" in url:
        raise UnsafeAddress("A fragment (#…) is not allowed: HTTP does not send it.")
    literal = _parse_ip_literal(host)
    loopback = host.lower() == "localhost" or (literal is not None and literal.is_loopback)
    if loopback and allow_loopback:
        if port == 0:
            raise UnsafeAddress("Port 0 is not allowed.")
        default = HTTPS_PORT if scheme == "https" else 80
        return Target(scheme, host.lower(), port or default, _path(parts.path, parts.query), is_loopback=True)
    if loopback:
        raise UnsafeAddress("Addresses of this machine are allowed only where WEBHOOKS_ALLOW_LOOPBACK is set.")
    if scheme != "https":
        raise UnsafeAddress("Only https:// is allowed.")
    if port is not None and port != HTTPS_PORT and port < FIRST_FREE_PORT:
        raise UnsafeAddress(f"Port {port} is not allowed: use {HTTPS_PORT}, or {FIRST_FREE_PORT} or higher.")
    if literal is not None:
        check_address(literal)
    else:
        _check_name(host)
    return Target(scheme, host.lower(), port or HTTPS_PORT, _path(parts.path, parts.query))


def check_address(address: Address, *, loopback: bool = False) -> None:
    """Raise `UnsafeAddress` unless the address is public; for a `loopback` target, unless it is a loopback address."""
    if not (address.is_loopback if loopback else is_public(address)):
        # The message omits the address, because the log of deliveries must not reveal private addresses.
        raise UnsafeAddress(f"The host's address is not {'loopback' if loopback else 'public'}.")


def is_public(address: Address) -> bool:
    """Whether the address, and an IPv4 address embedded in it, is publicly reachable."""
    if isinstance(address, IPv6Address):
        carried = _embedded_ipv4(address)
        if carried is not None:
            return is_public(carried)
        if address not in _UNICAST:
            return False
    if any(address in network for network in _BLOCKED_NETWORKS if network.version == address.version):
        return False
    return address.is_global and not address.is_multicast


def _embedded_ipv4(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address embedded in a mapped, 6to4 or NAT64 address; None if there is none."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    return IPv4Address(int(address) & _LOW_32) if address in _NAT64 else None


def _parse_ip_literal(host: str) -> Address | None:
    """The address if the host is an IP address in its usual form; None for names. Other spellings are refused."""
    try:
        address = ip_address(host)
    except ValueError:
        pass
    else:
        if isinstance(address, IPv6Address) and address.scope_id is not None:
            raise UnsafeAddress("A zone (%…) is not allowed in an address: it names an interface of one machine.")
        return address
    last = host.rstrip(".").rpartition(".")[2]
    if ":" in host or re.fullmatch(r"[0-9]+|0x[0-9a-f]*", last, re.IGNORECASE):
        raise UnsafeAddress(f"{host} is not an IP address in its usual form.")
    return None


def _check_name(host: str) -> None:
    labels = host.split(".")
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise UnsafeAddress(f"{host} is not a host name.")
    name = host.lower()
    if len(labels) < 2 or any(name == local or name.endswith(f".{local}") for local in _LOCAL_NAMES):
        raise UnsafeAddress(f"{host} is a name in a private network.")


def _path(path: str, query: str) -> str:
    return (path or "/") + (f"?{query}" if query else "")
