"""The event log: dense numbers, in order, one relay at a time, and nothing forgotten that is still to be read."""

import threading
from collections.abc import Sequence
from datetime import datetime

import pytest

from scalecommerce_core.domain.identifiers import AccountId
from scalecommerce_core.domain.order import OrderStatus
from scalecommerce_core.ports import NumberedEvent, Store
from scalecommerce_core.testing.contracts.stage import DAY, NOW, Stage, usd
from scalecommerce_core.testing.contracts.transactions import ChangedMyMind, together


def number(store: Store, limit: int = 1_000) -> int:
    with store.begin() as tx:
        return tx.events.number(limit)


def read(store: Store, after: int = 0, limit: int = 1_000) -> Sequence[NumberedEvent]:
    with store.begin() as tx:
        return tx.events.numbered_after(after, limit)


def forget(store: Store, before: datetime, limit: int = 1_000) -> int:
    with store.begin() as tx:
        return tx.events.forget(before, limit)


class EventsContract:
    def test_events_are_numbered_in_the_order_in_which_they_were_recorded(self, store: Store) -> None:
        stage = Stage(store)
        seller, buyer = stage.account(), stage.account()
        product = stage.product(seller)
        order = stage.order(buyer, {product: 1}, OrderStatus.PAID)
        assert read(store) == []
        assert number(store) == 4
        listed, *of_order = read(store)
        assert listed == NumberedEvent(
            1, "product.listed", NOW, (seller,), {"product_id": product, "seller_id": seller}
        )
        assert [(event.seq, event.topic) for event in of_order] == [
            (2, "order.placed"), (3, "order.reserved"), (4, "order.paid"),
        ]  # fmt: skip
        assert {event.payload["order_id"] for event in of_order} == {order}
        assert {event.audience for event in of_order} == {(buyer, seller)}

    def test_numbering_goes_on_where_it_ended(self, store: Store) -> None:
        stage = Stage(store)
        assert number(store) == 0
        stage.order(stage.account(), {stage.product(): 1}, OrderStatus.PAID)
        assert [number(store, 3) for _ in range(3)] == [3, 1, 0]
        stage.product()
        assert number(store, 3) == 1
        with store.begin() as tx:
            assert tx.events.last_number() == 5
        assert [event.seq for event in read(store)] == [1, 2, 3, 4, 5]
        assert [event.seq for event in read(store, after=2, limit=2)] == [3, 4]

    def test_the_first_number_is_one(self, store: Store) -> None:
        with store.begin() as tx:
            assert tx.events.last_number() == 0
        Stage(store).product()
        number(store)
        with store.begin() as tx:
            assert tx.events.last_number() == 1

    def test_a_relay_that_is_killed_leaves_no_gap(self, store: Store) -> None:
        stage = Stage(store)
        for _ in range(3):
            stage.product()
        assert number(store, 1) == 1

        def killed() -> None:
            with store.begin() as tx:
                assert tx.events.number(10) == 2
                raise ChangedMyMind

        with pytest.raises(ChangedMyMind):
            killed()
        assert [event.seq for event in read(store)] == [1]
        stage.product()
        assert number(store) == 3
        assert [event.seq for event in read(store)] == [1, 2, 3, 4]

    def test_what_was_rolled_back_takes_no_number(self, store: Store) -> None:
        stage = Stage(store)
        product = stage.product()

        def edit() -> None:
            with store.begin() as tx:
                found = tx.products.lock([product])[product]
                found.edit(NOW, price=usd(7))
                tx.products.save([found])
                raise ChangedMyMind

        with pytest.raises(ChangedMyMind):
            edit()
        stage.withdraw(product)
        number(store)
        assert [(event.seq, event.topic) for event in read(store)] == [(1, "product.listed"), (2, "product.withdrawn")]

    def test_whoever_both_buys_and_sells_is_told_once(self, store: Store) -> None:
        stage = Stage(store)
        seller = stage.account()
        stage.order(seller, {stage.product(seller): 1})
        assert number(store) == 2
        assert [set(event.audience) for event in read(store)] == [{seller}, {seller}]

    def test_relays_side_by_side_number_each_event_once(self, store: Store) -> None:
        stage = Stage(store)
        seller = stage.account()
        done = threading.Event()
        counts: list[int] = []

        def sell() -> None:
            for _ in range(20):
                stage.product(seller)

        def sell_and_end() -> None:
            together(sell, sell)
            done.set()

        def relay() -> None:
            while not done.is_set():
                counts.append(number(store, 3))

        together(sell_and_end, relay, relay)
        while numbered := number(store, 3):
            counts.append(numbered)
        assert sum(counts) == 40
        events = read(store)
        assert [event.seq for event in events] == list(range(1, 41))
        assert len({event.payload["product_id"] for event in events}) == 40

    # --- those who read in order

    def test_a_consumer_begins_with_news_and_goes_on_where_it_was(self, store: Store) -> None:
        stage = Stage(store)
        stage.product()
        number(store)
        with store.begin() as tx:
            assert tx.events.claim("mail") == 1
        for _ in range(3):
            stage.product()
        number(store)
        with store.begin() as tx:
            assert tx.events.claim("mail") == 1
            tx.events.advance("mail", 3)
            assert tx.events.claim("figures") == 4
        with store.begin() as tx:
            assert tx.events.claim("mail") == 3

    def test_a_consumer_that_fails_reads_again(self, store: Store) -> None:
        with store.begin() as tx:
            assert tx.events.claim("mail") == 0
        stage = Stage(store)
        stage.product()
        number(store)

        def fail() -> None:
            with store.begin() as tx:
                assert tx.events.claim("mail") == 0
                tx.events.advance("mail", 1)
                raise ChangedMyMind

        with pytest.raises(ChangedMyMind):
            fail()
        with store.begin() as tx:
            assert tx.events.claim("mail") == 0

    # --- forgetting

    def listed(self, store: Store, *ages: int) -> AccountId:
        """Events that happened so many days ago, numbered in this order."""
        stage = Stage(store)
        seller = stage.account()
        for age in ages:
            stage.product(seller, at=NOW - age * DAY)
        number(store)
        return seller

    def test_old_events_are_forgotten_in_batches(self, store: Store) -> None:
        self.listed(store, 9, 8, 7, 2, 1)
        assert [forget(store, NOW - 5 * DAY, 2) for _ in range(3)] == [2, 1, 0]
        assert [event.seq for event in read(store)] == [4, 5]
        Stage(store).product()
        number(store)
        assert [event.seq for event in read(store)] == [4, 5, 6]

    def test_only_the_old_end_is_cut_off(self, store: Store) -> None:
        """Clocks differ: an event may have a later number and an earlier time."""
        self.listed(store, 9, 2, 8)
        assert forget(store, NOW - 5 * DAY) == 1
        assert [event.seq for event in read(store)] == [2, 3]

    def test_numbers_go_on_when_everything_is_forgotten(self, store: Store) -> None:
        self.listed(store, 9, 9)
        assert forget(store, NOW) == 2
        assert read(store) == []
        self.listed(store, 0)
        assert [event.seq for event in read(store)] == [3]

    def test_what_a_consumer_has_not_read_is_kept(self, store: Store) -> None:
        for consumer in ("slow", "fast"):
            with store.begin() as tx:
                tx.events.claim(consumer)
        self.listed(store, 9, 8, 7)
        assert forget(store, NOW) == 0
        for consumer, seq in (("slow", 1), ("fast", 3)):
            with store.begin() as tx:
                tx.events.claim(consumer)
                tx.events.advance(consumer, seq)
        assert forget(store, NOW) == 1
        assert [event.seq for event in read(store)] == [2, 3]

    def test_unnumbered_events_are_never_forgotten(self, store: Store) -> None:
        stage = Stage(store)
        stage.product(at=NOW - 9 * DAY)
        assert forget(store, NOW) == 0
        number(store)
        assert len(read(store)) == 1

    def test_forgetting_and_numbering_do_not_disturb_each_other(self, store: Store) -> None:
        stage = Stage(store)
        seller = stage.account()
        forgotten: list[int] = []

        def sell_and_number() -> None:
            for _ in range(20):
                stage.product(seller, at=NOW - DAY)
                number(store)

        def cut() -> None:
            forgotten.extend(forget(store, NOW, 3) for _ in range(20))

        together(sell_and_number, cut, cut)
        while cut_off := forget(store, NOW, 3):
            forgotten.append(cut_off)
        assert sum(forgotten) == 20
        assert read(store) == []
