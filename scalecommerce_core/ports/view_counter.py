"""Counting product views outside of the request."""

from collections.abc import Sequence
from typing import Protocol

from scalecommerce_core.domain.identifiers import ProductId
from scalecommerce_core.domain.product_views import ViewBatch, ViewerTrust


class ViewCounter(Protocol):
    """Collects product views and hands them over in batches. A crash may lose views; none is counted twice."""

    def record_view(
        self,
        product_id: ProductId,
        client: str = "",
        *,
        origins: Sequence[str] = (),
        trust: ViewerTrust = ViewerTrust.UNKNOWN,
    ) -> None:
        """Count a view of a product at the present time. Never raises, never blocks.

        `client` identifies the client and is not stored. Further views of the product by the same client within the
        counter's window are not counted. Without `client` or without a window, every view is counted.

        `origins` are where the view comes from, narrowest first, and are not stored either: the client's address and
        network, or an account. The first is subject to `ViewCaps.address` of the counter, the second to
        `ViewCaps.network`; a view beyond one of the caps is not counted.
        """
        ...

    def next_batch(self) -> ViewBatch | None:
        """The next batch to be written, the same until `acknowledge`; None if there is none. Raise `Unavailable`."""
        ...

    def acknowledge(self, batch_id: str) -> None:
        """Drop a batch that was written; an unknown id is ignored. Raise `Unavailable`."""
        ...
