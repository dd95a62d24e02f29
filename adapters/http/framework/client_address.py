"""The address of the client and the scheme and host of the request, also behind reverse proxies.

Proxies report them in `X-Forwarded-*` headers or in `Forwarded` (RFC 7239). A client may send the same headers, so only
what trusted proxies have added counts: each proxy appends the address of its peer, so entries are read from the right,
and the rightmost address that is not a trusted proxy is the client.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network
from typing import Final

from attrs import frozen
from starlette.types import Scope

from scalecommerce_core.domain.client_network import network_key, network_keys, parse_address

MAX_HOPS: Final = 16
"""Proxies between a client and the engine; entries further to the left are ignored."""
MAX_HEADER_BYTES: Final = 4096
"""Bytes of one header that are read, from the right. The longest useful list of 16 proxies has about 1,500."""
UNIX: Final = "unix"
"""The entry of `TRUSTED_PROXIES` for peers that connect through a Unix socket, which have no address."""

_SCHEMES: Final = frozenset({"http", "https"})


class ProxyHeaders(StrEnum):
    """The headers that trusted proxies set. The other ones are ignored, since proxies pass them on unchanged."""

    X_FORWARDED = "x-forwarded"
    """X-Forwarded-For, X-Forwarded-Proto and X-Forwarded-Host."""
    FORWARDED = "forwarded"
    """Forwarded (RFC 7239)."""


@frozen
class TrustedProxies:
    """The proxies whose headers count: networks and Unix sockets, or the number of proxies (`hops`) in front."""

    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    unix: bool = False
    hops: int = 0

    @classmethod
    def parse(cls, text: str) -> "TrustedProxies":
        """Parse a number of proxies, or addresses, networks and `unix`, comma-separated; empty: nobody is trusted.

        Raise `ValueError` for anything else, and for networks of all addresses: everybody could choose an address.
        """
        if text.strip().isdecimal():
            hops = int(text)
            if not 0 <= hops <= MAX_HOPS:
                raise ValueError(f"the number of proxies must be from 0 to {MAX_HOPS}")
            return cls(hops=hops)
        entries = [entry for part in text.split(",") if (entry := part.strip())]
        networks = []
        for entry in entries:
            if entry == UNIX:
                continue
            try:
                network = ip_network(entry)
            except ValueError:
                raise ValueError(
                    f"{entry!r} is not an address, a network such as 10.0.0.0/8, `{UNIX}`, or a number of proxies"
                ) from None
            networks.append(network)
        # Also several networks may be all addresses together, such as 0.0.0.0/1 and 128.0.0.0/1.
        ipv4 = collapse_addresses(network for network in networks if isinstance(network, IPv4Network))
        ipv6 = collapse_addresses(network for network in networks if isinstance(network, IPv6Network))
        if any(network.prefixlen == 0 for network in ipv4) or any(network.prefixlen == 0 for network in ipv6):
            raise ValueError(f"{text.strip()} trusts everybody; give the number of proxies instead")
        return cls(tuple(networks), UNIX in entries)

    def __bool__(self) -> bool:
        return bool(self.networks or self.unix or self.hops)

    def trusts(self, address: str, distance: int) -> bool:
        """Whether the address is a proxy's; `distance` is 0 for the peer, 1 for the next address behind it, etc."""
        if self.hops:
            return distance < self.hops
        if not address:
            return self.unix
        parsed = parse_address(address)
        return parsed is not None and any(
            parsed.version == network.version and parsed in network for network in self.networks
        )


NO_PROXIES: Final = TrustedProxies()


@frozen
class Forwarding:
    """What the proxies report: the client's address, and the scheme and host of its request; "" if not reported."""

    address: str = ""
    scheme: str = ""
    host: str = ""


UNKNOWN: Final = Forwarding()


class ForwardedRequests:
    """Sets the client, scheme and host in the scope of each request that a trusted proxy has forwarded.

    `with_host` replaces the Host header by the forwarded host. It should be set only if hosts are checked afterwards:
    some proxies pass on the X-Forwarded-Host of the client.
    """

    def __init__(
        self, proxies: TrustedProxies, headers: ProxyHeaders = ProxyHeaders.X_FORWARDED, *, with_host: bool = False
    ) -> None:
        self._proxies = proxies
        self._read = _read_forwarded if headers is ProxyHeaders.FORWARDED else _read_x_forwarded
        self._with_host = with_host
        # Addresses of peers: few if all of them are proxies.
        self._trusts = lru_cache(maxsize=1024)(proxies.trusts)

    def apply(self, scope: Scope) -> None:
        """Change `scope`; leave it as it is if the peer is not trusted or its headers are malformed."""
        client = scope.get("client")
        peer = client[0] if client else ""
        if not self._trusts(peer, 0):
            return
        found = self._read(scope["headers"], self._trusts)
        if found.address:
            scope["client"] = (found.address, 0)
        if found.scheme:
            scope["scheme"] = found.scheme
        if found.host and self._with_host:
            others = [(name, value) for name, value in scope["headers"] if name != b"host"]
            scope["headers"] = [(b"host", found.host.encode("latin-1")), *others]


def client_keys(address: str) -> tuple[str, ...]:
    """The keys of a client in limits that have one for its IPv6 /48 as well; see `client_network.network_keys`."""
    return network_keys(network_key(address))


def client_address(scope: Scope) -> str:
    """The client of a request as `network_key` names it, for limits and the security log; empty if it is unknown."""
    client = scope.get("client")
    return network_key(client[0]) if client else ""


Headers = Sequence[tuple[bytes, bytes]]
Trusts = Callable[[str, int], bool]
"""`TrustedProxies.trusts`."""


def _read_x_forwarded(headers: Headers, trusts: Trusts) -> Forwarding:
    addresses: list[bytes] = []
    schemes: list[bytes] = []
    hosts: list[bytes] = []
    for name, value in headers:
        if name == b"x-forwarded-for":
            addresses.append(value)
        elif name == b"x-forwarded-proto":
            schemes.append(value)
        elif name == b"x-forwarded-host":
            hosts.append(value)
    client, index = "", 0
    for position, entry in enumerate(_from_the_right(addresses)):
        address = _parse_node(entry)
        if address is None:
            client, index = "", 0
            break
        client, index = address, position
        if not trusts(client, position + 1):
            break
    scheme = _value_at(schemes, index).lower()
    return Forwarding(client, scheme if scheme in _SCHEMES else "", _value_at(hosts, index))


def _read_forwarded(headers: Headers, trusts: Trusts) -> Forwarding:
    distance, found = 0, UNKNOWN
    for name, value in reversed(headers):
        if name != b"forwarded":
            continue
        elements = _parse_elements(value)
        if elements is None:
            return UNKNOWN
        for element in reversed(elements):
            distance += 1
            if distance > MAX_HOPS:
                return found
            # RFC 7239, section 6: a proxy may hide the address (`unknown`, `_name`).
            client = _parse_node(element.get("for", "")) or ""
            scheme = element.get("proto", "").lower()
            found = Forwarding(client, scheme if scheme in _SCHEMES else "", element.get("host", ""))
            if not client or not trusts(client, distance):
                return found
    return found


_TCHARS: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PAIR: Final = re.compile(
    rf'[ \t]*(?P<name>{_TCHARS})=(?:(?P<token>{_TCHARS})|"(?P<quoted>(?:[^"\\]|\\.)*)")[ \t]*(?P<end>[;,]|$)'
)


def _parse_elements(value: bytes) -> list[dict[str, str]] | None:
    """The elements of one Forwarded header (RFC 7239, section 4), parameter names in lowercase; None if malformed.

    A header is malformed as a whole. Reading only its valid end would allow a client that a proxy quotes in `host` to
    invent an element.
    """
    if len(value) > MAX_HEADER_BYTES:
        return None
    text, position = value.decode("latin-1"), 0
    elements: list[dict[str, str]] = [{}]
    while True:
        pair = _PAIR.match(text, position)
        if pair is None:
            return None
        name = pair["name"].lower()
        if name in elements[-1]:
            return None
        quoted = pair["quoted"]
        elements[-1][name] = pair["token"] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        position = pair.end()
        if not pair["end"]:
            return elements
        if pair["end"] == ",":
            elements.append({})


def _from_the_right(values: Sequence[bytes]) -> Iterator[str]:
    """The entries of a list header with several values, from the right; at most `MAX_HOPS`."""
    found = 0
    for value in reversed(values):
        for entry in reversed(value[-MAX_HEADER_BYTES:].rsplit(b",", MAX_HOPS)):
            if found == MAX_HOPS:
                return
            found += 1
            yield entry.decode("latin-1").strip()


def _value_at(values: Sequence[bytes], index: int) -> str:
    """The entry with this index from the right, or else the leftmost: proxies may send one value for the chain."""
    found = ""
    for position, entry in enumerate(_from_the_right(values)):
        found = entry
        if position == index:
            break
    return found


_NODE: Final = re.compile(
    r"(?:\[(?P<v6>[0-9A-Fa-f:.]{2,45})\]|(?P<v4>[0-9.]{7,15}))(?::(?:[0-9]{1,5}|_[A-Za-z0-9._-]+))?"
)


def _parse_node(text: str) -> str | None:
    """The address in `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1` or `[2001:db8::1]:80`; None for anything else."""
    if match := _NODE.fullmatch(text):
        text = match["v6"] or match["v4"]
    elif len(text) > _MAX_ADDRESS_LENGTH or "%" in text:
        return None
    address = parse_address(text)
    return None if address is None else str(address)


_MAX_ADDRESS_LENGTH: Final = 45
