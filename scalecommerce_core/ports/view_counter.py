"""Counting product views."""

from typing import Protocol

from scalecommerce_core.domain.identifiers import ProductId
from scalecommerce_core.domain.product_views import ViewBatch


class ViewCounter(Protocol):
    """Gathers product views off the hot path; losing some at a crash is accepted, counting any twice is not."""

    def record_view(self, product_id: ProductId, client: str = "") -> None:
        """Somebody looked at a product just now. Never raises, never blocks.

        `client` is whatever tells one client from another; it is not stored. A client's further looks at a product
        within the counter's window are none. Without it, every look counts.
        """
        ...

    def next_batch(self) -> ViewBatch | None:
        """What is to be written next, the same until it is forgotten; None: nothing. Raise `Unavailable`."""
        ...

    def acknowledge(self, batch_id: str) -> None:
        """A batch that was written; one that is known no more is ignored. Raise `Unavailable`."""
        ...
