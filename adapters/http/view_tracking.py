"""Decides which requests for a product count as views, and identifies the viewer."""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Network, ip_address
from typing import Final

from starlette.types import Scope

from scalecommerce_core.domain.identifiers import AccountId, ProductId
from scalecommerce_core.domain.product_views import ViewerTrust
from scalecommerce_core.ports import ViewCounter
from scalecommerce_core.services.sessions import Identity

PREFETCH_HEADERS: Final = frozenset({b"purpose", b"sec-purpose", b"x-moz"})
"""Headers in which browsers send `prefetch` for a page that is loaded ahead of a visit."""
BOT_CACHE_SIZE: Final = 4_096
"""User agents whose match with the bot patterns is cached."""
USER_AGENT_BYTES: Final = 512
"""Bytes of a user agent that are read. Clients choose its length, so it must be bounded."""
# Looking up a member of an enumeration takes longer than looking up a name.
_BUYER, _UNKNOWN = ViewerTrust.BUYER, ViewerTrust.UNKNOWN
ORIGIN_CACHE_SIZE: Final = 16_384
"""Addresses whose origins are cached."""


class ViewTracker:
    """Counts GET requests for products, including those answered with 304.

    Not counted: requests of the product's seller and of staff, prefetches of browsers, and user agents that match one
    of the `bots` patterns (regular expressions, case-insensitive).
    """

    def __init__(self, views: ViewCounter, bots: Sequence[str] = ()) -> None:
        self._views = views
        pattern = re.compile("|".join(f"(?:{bot})" for bot in bots), re.IGNORECASE) if bots else None

        @lru_cache(maxsize=BOT_CACHE_SIZE)
        def is_bot(user_agent: str) -> bool:
            return pattern is not None and pattern.search(user_agent) is not None

        self._is_bot = is_bot

    def record_view(self, scope: Scope, identity: Identity | None, product_id: ProductId, seller_id: AccountId) -> None:
        """Record a successful request for a product if it counts as a view. Never blocks."""
        if scope["method"] == "GET":
            self.record_get(dict(scope["headers"]), scope.get("client"), identity, product_id, seller_id)

    def record_get(
        self,
        headers: Mapping[bytes, bytes],
        address: tuple[str, int] | None,
        identity: Identity | None,
        product_id: ProductId,
        seller_id: AccountId,
    ) -> None:
        """`record_view` for a GET request with these headers from this address."""
        if identity is not None and (identity.is_staff or identity.account_id == seller_id):
            return
        if not PREFETCH_HEADERS.isdisjoint(headers) and any(
            b"prefetch" in headers.get(name, b"").lower() for name in PREFETCH_HEADERS
        ):
            return
        user_agent = headers.get(b"user-agent", b"")[:USER_AGENT_BYTES].decode("latin-1")
        if self._is_bot(user_agent):
            return
        if identity is not None and identity.trust is _BUYER:
            # Buyers behind one address are counted in full; each is subject to the cap of an address.
            client = f"account {identity.account_id}"
            self._views.record_view(product_id, client, origins=(client,), trust=_BUYER)
            return
        host = address[0] if address else ""
        if identity is not None:
            client, trust = f"account {identity.account_id}", identity.trust
        else:
            client, trust = f"address {host} {user_agent}", _UNKNOWN
        self._views.record_view(product_id, client, origins=view_origins(host), trust=trust)


@lru_cache(maxsize=ORIGIN_CACHE_SIZE)
def view_origins(host: str) -> tuple[str, ...]:
    """The address and the network of a client, for the caps of views.

    IPv4: the address and its /24. IPv6: the /64, since one client has all of its addresses, and the /48, which
    providers assign to a site. A host without an address (a Unix socket) is one origin.
    """
    if ":" not in host and host.count(".") == 3:
        # Without `ip_address`, which takes several microseconds: the server writes addresses in one form only.
        return f"address {host}", f"network {host.rpartition('.')[0]}.0/24"
    try:
        address = ip_address(host)
    except ValueError:
        return (f"address {host}",)
    if isinstance(address, IPv4Address):
        return (f"address {host}",)
    if address.ipv4_mapped is not None:
        return view_origins(str(address.ipv4_mapped))
    number = int(address)
    return (
        f"address {IPv6Network((number >> 64 << 64, 64))}",
        f"network {IPv6Network((number >> 80 << 80, 48))}",
    )
