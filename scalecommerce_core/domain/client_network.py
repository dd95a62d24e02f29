"""The networks of a client: those that limits count, and the one that is stored."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

UNKNOWN_ADDRESS: Final = "unknown address"
"""The key that all clients without a network address share, for example those of a Unix socket."""
CLIENT_PREFIX: Final = 64
"""Bits of an IPv6 address that identify a client: providers assign at least a /64 to each."""
SITE_PREFIX: Final = 48
"""Bits of an IPv6 address that identify a site: one customer may have all 65,536 networks of /64 in it (RFC 6177)."""
SITE_FACTOR: Final = 10
"""A site has the limits of a client, times this."""


def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """Parse an address; an IPv4 address mapped to IPv6 becomes an IPv4 address, a zone is removed. None if invalid."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address


@lru_cache(maxsize=8192)
def network_key(address: str) -> str:
    """The key of a client in limits: an IPv4 address itself, the /64 network of an IPv6 address.

    Text that is no address, such as the empty one of a Unix socket, is returned unchanged.
    """
    parsed = parse_address(address)
    if isinstance(parsed, IPv6Address):
        return str(IPv6Network((parsed, CLIENT_PREFIX), strict=False))
    return address if parsed is None else str(parsed)


@lru_cache(maxsize=8192)
def network_keys(network: str) -> tuple[str, ...]:
    """The keys of a client in limits, the client's own one first: its network, and for IPv6 the /48 that contains it.

    `network` is an IPv4 address, an IPv6 address or network, or empty. The limit of the second key is `SITE_FACTOR`
    times as high as that of the first.
    """
    if not network:
        return (UNKNOWN_ADDRESS,)
    if ":" in network:
        try:
            parsed = ip_network(network.partition("%")[0], strict=False)
        except ValueError:
            return (network,)
        if isinstance(parsed, IPv6Network) and parsed.prefixlen > SITE_PREFIX:
            return (network, str(parsed.supernet(new_prefix=SITE_PREFIX)))
    return (network,)


def shortened_network(address: str) -> str:
    """The /24 (IPv4) or /48 (IPv6) network of an address, which may be stored; empty for what is no address."""
    try:
        network = ip_network(address, strict=False)
    except ValueError:
        return ""
    length = min(network.prefixlen, 24 if network.version == 4 else SITE_PREFIX)
    return str(network.supernet(new_prefix=length))
