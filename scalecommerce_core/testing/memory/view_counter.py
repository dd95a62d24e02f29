"""View counting in memory: state that processes share, and views that a process has not yet pushed to it."""

from collections import Counter
from datetime import UTC, datetime, timedelta

from scalecommerce_core.domain.identifiers import ProductId
from scalecommerce_core.domain.product_views import ViewBatch, time_slice
from scalecommerce_core.ports import Clock
from scalecommerce_core.testing.fakes import SettableClock


class SharedViews:
    """The shared state, which the real adapter keeps in Redis."""

    def __init__(self) -> None:
        self.open: Counter[tuple[ProductId, datetime]] = Counter()
        self.sealed: ViewBatch | None = None
        self.counted: dict[tuple[ProductId, str], datetime] = {}
        self._batches = 0

    def seal(self) -> ViewBatch | None:
        if self.sealed is None and self.open:
            self._batches += 1
            self.sealed, self.open = ViewBatch(f"batch-{self._batches}", dict(self.open)), Counter()
        return self.sealed

    def flush(self) -> None:
        """Lose everything except the last batch number, as a flush of Redis would."""
        self.open, self.sealed = Counter(), None
        self.counted.clear()


class MemoryViewCounter:
    """`ports.ViewCounter`. Counters with the same `shared` behave as processes of one engine.

    Without a `window`, every view counts.
    """

    def __init__(
        self, clock: Clock | None = None, *, window: timedelta = timedelta(), shared: SharedViews | None = None
    ) -> None:
        self._clock = SettableClock() if clock is None else clock
        self._window = window
        self.shared = SharedViews() if shared is None else shared
        self._waiting: list[tuple[ProductId, str, datetime]] = []

    def record_view(self, product_id: ProductId, client: str = "") -> None:
        self._waiting.append((product_id, client, self._clock.now()))

    def push(self) -> None:
        """Add the views of this process to the shared state."""
        for product_id, client, at in self._waiting:
            last = self.shared.counted.get((product_id, client)) if client else None
            if last is None or abs(at - last) >= self._window:
                self.shared.counted[product_id, client] = at if last is None else max(at, last)
                moment = datetime.fromtimestamp(time_slice(at.timestamp()), UTC)
                self.shared.open[product_id, moment] += 1
        self._waiting.clear()

    def next_batch(self) -> ViewBatch | None:
        self.push()
        return self.shared.seal()

    def acknowledge(self, batch_id: str) -> None:
        if self.shared.sealed is not None and self.shared.sealed.id == batch_id:
            self.shared.sealed = None
