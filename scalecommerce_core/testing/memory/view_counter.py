"""View counting in memory: state that processes share, and views that a process has not yet pushed to it."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

from scalecommerce_core.domain.identifiers import ProductId
from scalecommerce_core.domain.product_views import NO_CAPS, ViewBatch, ViewCaps, ViewerTrust, time_slice
from scalecommerce_core.ports import Clock
from scalecommerce_core.testing.fakes import SettableClock


class SharedViews:
    """The shared state, which the real adapter keeps in Redis."""

    def __init__(self) -> None:
        self.open: Counter[tuple[ProductId, datetime]] = Counter()
        self.extra_weights: Counter[tuple[ProductId, datetime]] = Counter()
        self.sealed: ViewBatch | None = None
        self.counted: dict[tuple[ProductId, str], datetime] = {}
        self.by_origin: Counter[tuple[date, str, ProductId | None]] = Counter()
        self._batches = 0

    def seal(self) -> ViewBatch | None:
        if self.sealed is None and self.open:
            self._batches += 1
            self.sealed = ViewBatch(f"batch-{self._batches}", dict(self.open), dict(self.extra_weights))
            self.open, self.extra_weights = Counter(), Counter()
        return self.sealed

    def flush(self) -> None:
        """Lose everything except the last batch number, as a flush of Redis would."""
        self.open, self.extra_weights, self.sealed = Counter(), Counter(), None
        self.counted.clear()
        self.by_origin.clear()


class MemoryViewCounter:
    """`ports.ViewCounter`. Counters with the same `shared` behave as processes of one engine.

    Without a `window`, every view counts.
    """

    def __init__(
        self,
        clock: Clock | None = None,
        *,
        window: timedelta = timedelta(),
        caps: ViewCaps = NO_CAPS,
        shared: SharedViews | None = None,
    ) -> None:
        self._clock = SettableClock() if clock is None else clock
        self._window = window
        self._caps = caps.per_origin()
        self.shared = SharedViews() if shared is None else shared
        self._waiting: list[tuple[ProductId, str, Sequence[str], ViewerTrust, datetime]] = []

    def record_view(
        self,
        product_id: ProductId,
        client: str = "",
        *,
        origins: Sequence[str] = (),
        trust: ViewerTrust = ViewerTrust.UNKNOWN,
    ) -> None:
        self._waiting.append((product_id, client, origins, trust, self._clock.now()))

    def push(self) -> None:
        """Add the views of this process to the shared state."""
        for product_id, client, origins, trust, at in self._waiting:
            if client and self._window:
                last = self.shared.counted.get((product_id, client))
                is_repeated = last is not None and abs(at - last) < self._window
                if is_repeated or not self._acquire(product_id, origins, at):
                    continue
                self.shared.counted[product_id, client] = at if last is None else max(at, last)
            moment = datetime.fromtimestamp(time_slice(at.timestamp()), UTC)
            self.shared.open[product_id, moment] += 1
            if trust > 1:
                self.shared.extra_weights[product_id, moment] += trust - 1
        self._waiting.clear()

    def _acquire(self, product_id: ProductId, origins: Sequence[str], at: datetime) -> bool:
        """Count a view for its origins unless one of their caps is reached."""
        counts, day = self.shared.by_origin, at.date()
        keys: list[tuple[date, str, ProductId | None]] = []
        for cap, origin in zip(self._caps, origins, strict=False):
            for limit, of in ((cap.of_product, product_id), (cap.in_total, None)):
                if limit and counts[day, origin, of] >= limit:
                    return False
                keys.append((day, origin, of))
        counts.update(keys)
        return True

    def next_batch(self) -> ViewBatch | None:
        self.push()
        return self.shared.seal()

    def acknowledge(self, batch_id: str) -> None:
        if self.shared.sealed is not None and self.shared.sealed.id == batch_id:
            self.shared.sealed = None
