"""Decides which requests for a product count as views, and identifies the viewer."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from starlette.types import Scope

from scalecommerce_core.domain.identifiers import AccountId, ProductId
from scalecommerce_core.ports import ViewCounter
from scalecommerce_core.services.accounts import Identity

PREFETCH_HEADERS: Final = frozenset({b"purpose", b"sec-purpose", b"x-moz"})
"""Headers in which browsers send `prefetch` for a page that is loaded ahead of a visit."""
BOT_CACHE_SIZE: Final = 4_096
"""User agents whose match with the bot patterns is cached."""
USER_AGENT_BYTES: Final = 512
"""Bytes of a user agent that are read. Clients choose its length, so it must be bounded."""


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
        if scope["method"] != "GET":
            return
        if identity is not None and (identity.is_staff or identity.account_id == seller_id):
            return
        agent = b""
        for name, value in scope["headers"]:
            if name == b"user-agent":
                agent = value
            elif name in PREFETCH_HEADERS and b"prefetch" in value.lower():
                return
        user_agent = agent[:USER_AGENT_BYTES].decode("latin-1")
        if self._is_bot(user_agent):
            return
        if identity is not None:
            client = f"account {identity.account_id}"
        else:
            address = scope.get("client")
            client = f"address {address[0] if address else ''} {user_agent}"
        self._views.record_view(product_id, client)
