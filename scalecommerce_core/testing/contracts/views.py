"""Tests of view counters."""

from datetime import datetime, timedelta
from typing import Final, Protocol

from scalecommerce_core.domain.identifiers import ProductId
from scalecommerce_core.domain.product_views import NO_CAPS, TIME_SLICE, ViewCap, ViewCaps, ViewCounts, ViewerTrust
from scalecommerce_core.ports import ViewCounter
from scalecommerce_core.testing.fakes import SettableClock

TEA: Final = ProductId(1)
CUP: Final = ProductId(2)
WINDOW: Final = timedelta(seconds=30)
HOUR: Final = timedelta(hours=1)


class PushingCounter(ViewCounter, Protocol):
    """A counter of one process that pushes its views to the shared state on demand, so that tests need not wait."""

    def push(self) -> None: ...


class Counters(Protocol):
    """Returns the counter of one more process with this window and these caps; all counters share their state."""

    def __call__(self, window: timedelta, caps: ViewCaps = NO_CAPS) -> PushingCounter: ...


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

    def test_an_origin_counts_up_to_its_caps_a_day_in_all_processes(
        self, counters: Counters, clock: SettableClock
    ) -> None:
        caps = ViewCaps(ViewCap(of_product=3, in_total=5), ViewCap(of_product=7, in_total=9))
        one, other = counters(WINDOW, caps), counters(WINDOW, caps)

        def views(product: ProductId, address: int, people: int) -> int:
            for number in range(people):
                counter = (one, other)[number % 2]
                counter.record_view(product, f"{clock.now()} {address} {number}", origins=(f"a{address}", "net"))
                counter.push()
            return self._sums(one).get(product, 0)

        assert views(TEA, 1, 20) == 3, "the address has reached its cap for this product"
        assert views(CUP, 1, 20) == 2, "the address has reached its cap for all products"
        assert views(TEA, 2, 20) == 3
        assert views(TEA, 3, 20) == 1, "the network has reached its cap for this product"
        assert views(CUP, 3, 20) == 0, "the network has reached its cap for all products"
        clock.advance(days=1)
        assert views(TEA, 1, 20) == 3

    def test_caps_apply_to_each_origin_alone(self, counters: Counters) -> None:
        counter = counters(WINDOW, ViewCaps(ViewCap(of_product=2)))
        for number in range(5):
            counter.record_view(TEA, f"Ann {number}", origins=("account 1",))
            counter.record_view(TEA, f"Ben {number}", origins=("account 2",))
            counter.record_view(CUP, f"Ann {number}", origins=("account 1",))
            counter.record_view(CUP, f"Cem {number}")
        counter.push()
        assert self._sums(counter) == {TEA: 4, CUP: 7}

    def test_a_capped_or_repeated_view_does_not_use_up_other_caps(self, counters: Counters) -> None:
        counter = counters(WINDOW, ViewCaps(ViewCap(of_product=2), ViewCap(of_product=4)))
        for number in range(9):
            counter.record_view(TEA, f"Ann {number}", origins=("one", "net"))
            counter.record_view(TEA, "Ann 1", origins=("two", "net"))
        for number in range(9):
            counter.record_view(TEA, f"Ben {number}", origins=("two", "net"))
        counter.push()
        assert self._sums(counter) == {TEA: 4}

    def test_without_a_client_or_a_window_there_are_no_caps(self, counters: Counters) -> None:
        caps = ViewCaps(ViewCap(1, 1), ViewCap(1, 1))
        counter, without = counters(WINDOW, caps), counters(timedelta(), caps)
        for _ in range(3):
            counter.record_view(TEA, origins=("one", "net"))
            without.record_view(CUP, "Ann", origins=("one", "net"))
        counter.push()
        without.push()
        assert self._sums(counter) == {TEA: 3, CUP: 3}

    def test_a_batch_has_the_weights_of_its_views(self, counters: Counters, clock: SettableClock) -> None:
        counter = counters(WINDOW)
        counter.record_view(TEA, "Ann", trust=ViewerTrust.BUYER)
        counter.record_view(TEA, "Ann", trust=ViewerTrust.BUYER)
        counter.record_view(TEA, "Ben", trust=ViewerTrust.ESTABLISHED)
        counter.record_view(TEA, "Cem")
        counter.record_view(CUP, "Ben")
        counter.push()
        batch = counter.next_batch()
        assert batch is not None
        assert batch.counts == {(TEA, _slice(clock)): 3, (CUP, _slice(clock)): 1}
        assert batch.extra_weights == {(TEA, _slice(clock)): 4}
        counter.acknowledge(batch.id)
        counter.record_view(TEA, "Dan")
        counter.push()
        second = counter.next_batch()
        assert second is not None
        assert second.extra_weights == {}

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
