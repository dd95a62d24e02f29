"""Tests of view counters."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, Protocol

from scalecommerce_core.domain.identifiers import ProductId
from scalecommerce_core.domain.product_views import TIME_SLICE, ViewCounts
from scalecommerce_core.ports import ViewCounter
from scalecommerce_core.testing.fakes import SettableClock

TEA: Final = ProductId(1)
CUP: Final = ProductId(2)
WINDOW: Final = timedelta(seconds=30)
HOUR: Final = timedelta(hours=1)


class PushingCounter(ViewCounter, Protocol):
    """A counter of one process that pushes its views to the shared state on demand, so that tests need not wait."""

    def push(self) -> None: ...


Counters = Callable[[timedelta], PushingCounter]
"""Returns the counter of one more process with this window; all counters share their state."""


class ViewCounterContract:
    """Subclasses define the fixtures `clock`, and `counters` that use it."""

    def test_without_views_there_is_no_batch(self, counters: Counters) -> None:
        counter = counters(WINDOW)
        assert counter.next_batch() is None
        counter.acknowledge("no such batch")

    def test_views_of_all_processes_are_in_one_batch(self, counters: Counters, clock: SettableClock) -> None:
        one, other = counters(WINDOW), counters(WINDOW)
        one.record_view(TEA)
        one.record_view(CUP)
        one.push()
        other.record_view(TEA)
        other.push()
        assert self._taken(counters(WINDOW)) == {(TEA, _slice(clock)): 2, (CUP, _slice(clock)): 1}

    def test_a_batch_is_returned_until_it_is_acknowledged(self, counters: Counters, clock: SettableClock) -> None:
        one, other = counters(WINDOW), counters(WINDOW)
        one.record_view(TEA)
        one.push()
        first = one.next_batch()
        one.record_view(CUP)
        one.push()
        assert first is not None
        assert other.next_batch() == first
        other.acknowledge("another one")
        assert one.next_batch() == first
        other.acknowledge(first.id)
        one.acknowledge(first.id)
        second = one.next_batch()
        assert second is not None
        assert second.counts == {(CUP, _slice(clock)): 1}
        assert second.id != first.id
        other.acknowledge(first.id)
        assert other.next_batch() == second

    def test_a_view_counts_at_the_time_at_which_it_happened(self, counters: Counters, clock: SettableClock) -> None:
        counter = counters(WINDOW)
        earlier = _slice(clock)
        counter.record_view(TEA)
        clock.advance(hours=1)
        counter.record_view(TEA)
        counter.push()
        clock.advance(hours=1)
        assert self._taken(counter) == {(TEA, earlier): 1, (TEA, earlier + HOUR): 1}

    def test_a_client_counts_once_in_a_window(self, counters: Counters, clock: SettableClock) -> None:
        one, other = counters(WINDOW), counters(WINDOW)
        for counter in (one, one, other):
            counter.record_view(TEA, "Ann")
            counter.push()
        other.record_view(CUP, "Ann")
        other.record_view(TEA, "Ben")
        other.push()
        assert self._sums(one) == {TEA: 2, CUP: 1}
        clock.advance(seconds=29)
        for counter in (one, other):
            counter.record_view(TEA, "Ann")
            counter.push()
        assert self._sums(one) == {}
        clock.advance(seconds=1)
        for counter in (other, one):
            counter.record_view(TEA, "Ann")
            counter.push()
        assert self._sums(one) == {TEA: 1}

    def test_continuous_reloading_does_not_hide_a_client(self, counters: Counters, clock: SettableClock) -> None:
        counter = counters(WINDOW)
        for _ in range(7):
            counter.record_view(TEA, "Ann")
            counter.push()
            clock.advance(seconds=10)
        assert self._sums(counter) == {TEA: 3}

    def test_views_that_are_pushed_late_are_compared_by_their_time(
        self, counters: Counters, clock: SettableClock
    ) -> None:
        late, prompt = counters(WINDOW), counters(WINDOW)
        late.record_view(TEA, "Ann")
        late.record_view(TEA, "Ben")
        clock.advance(seconds=20)
        prompt.record_view(TEA, "Ben")
        clock.advance(seconds=40)
        prompt.record_view(TEA, "Ann")
        prompt.push()
        late.push()
        assert self._sums(prompt) == {TEA: 3}

    def test_without_a_client_or_a_window_every_view_counts(self, counters: Counters) -> None:
        counter, without = counters(WINDOW), counters(timedelta())
        for _ in range(3):
            counter.record_view(TEA)
            without.record_view(CUP, "Ann")
        counter.push()
        without.push()
        assert self._sums(counter) == {TEA: 3, CUP: 3}

    def test_any_text_identifies_a_client(self, counters: Counters) -> None:
        counter = counters(WINDOW)
        for name in ("ünï", "\x00", "\ud800", "x" * 100_000):
            counter.record_view(TEA, name)
        counter.push()
        assert self._sums(counter) == {TEA: 4}

    def _taken(self, counter: PushingCounter) -> ViewCounts:
        batch = counter.next_batch()
        if batch is None:
            return {}
        counter.acknowledge(batch.id)
        return batch.counts

    def _sums(self, counter: PushingCounter) -> dict[ProductId, int]:
        sums: dict[ProductId, int] = {}
        for (product, _), count in self._taken(counter).items():
            sums[product] = sums.get(product, 0) + count
        return sums


def _slice(clock: SettableClock) -> datetime:
    now = clock.now()
    return now.replace(second=now.second - now.second % int(TIME_SLICE.total_seconds()), microsecond=0)
