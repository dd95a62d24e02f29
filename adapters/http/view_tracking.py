"""Which requests for a product are looks of a possible buyer, and whose."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from starlette.types import Scope

from scalecommerce_core.domain.identifiers import AccountId, ProductId
from scalecommerce_core.ports import ViewCounter
from scalecommerce_core.services.accounts import Identity

PREFETCH_HEADERS: Final = frozenset({b"purpose", b"sec-purpose", b"x-moz"})
"""Headers by which browsers say that they load a page ahead (`prefetch`, `prefetch;prerender`), unseen so far."""
BOT_CACHE_SIZE: Final = 4_096
"""So many different ones are remembered as bots or not."""
USER_AGENT_BYTES: Final = 512
"""Bytes of a user agent that are looked at: they are as long as a stranger wants them to be."""


class ViewTracker:
    """Counts those who look: GET requests, a 304 as well, since somebody looks at the copy that is still good.

    Not the product's owner, nor staff: they work on it. Nor bots, by the patterns (regular expressions, whatever the
    case) that their user agents match, nor pages that a browser loads ahead.
    """

    def __init__(self, views: ViewCounter, bots: Sequence[str] = ()) -> None:
        self._views = views
        pattern = re.compile("|".join(f"(?:{bot})" for bot in bots), re.IGNORECASE) if bots else None

        @lru_cache(maxsize=BOT_CACHE_SIZE)
        def is_bot(user_agent: str) -> bool:
            return pattern is not None and pattern.search(user_agent) is not None

        self._is_bot = is_bot

    def record_view(self, scope: Scope, identity: Identity | None, product_id: ProductId, seller_id: AccountId) -> None:
        """Count this answered request for a product, if it is a look. For the event loop: it waits for nothing."""
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
