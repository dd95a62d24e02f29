"""Tests of the event log: numbering without gaps, consumers, purging, and the feeds of accounts."""

import threading
from collections.abc import Sequence
from datetime import datetime

import pytest

from scalecommerce_core.domain.errors import EventsForgotten, Invalid
from scalecommerce_core.domain.identifiers import AccountId
from scalecommerce_core.domain.order import OrderStatus, RefundLine
from scalecommerce_core.ports import EventRange, NumberedEvent, Store
from scalecommerce_core.queries import FeedEvent, FeedPage, Queries
from scalecommerce_core.testing.contracts.stage import DAY, NOW, Stage, usd
from scalecommerce_core.testing.contracts.transactions import IntentionalRollback, run_in_threads


def number(store: Store, limit: int = 1_000) -> int:
    with store.begin() as tx:
        return tx.events.assign_sequence(limit)


def read(store: Store, after: int = 0, limit: int = 1_000) -> Sequence[NumberedEvent]:
    with store.begin() as tx:
        return tx.events.read_after(after, limit)


def purge(store: Store, before: datetime, limit: int = 1_000) -> int:
    with store.begin() as tx:
        return tx.events.purge(before, limit)


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
        assert [event.audience for event in of_order] == [(buyer,), (buyer, seller), (buyer, seller)]

    def test_numbering_continues_after_the_last_number(self, store: Store) -> None:
        stage = Stage(store)
        assert number(store) == 0
        stage.order(stage.account(), {stage.product(): 1}, OrderStatus.PAID)
        assert [number(store, 3) for _ in range(3)] == [3, 1, 0]
        stage.product()
        assert number(store, 3) == 1
        with store.begin() as tx:
            assert tx.events.last_seq() == 5
        assert [event.seq for event in read(store)] == [1, 2, 3, 4, 5]
        assert [event.seq for event in read(store, after=2, limit=2)] == [3, 4]

    def test_events_of_some_topics_are_read_in_parts_of_the_log(self, store: Store) -> None:
        stage = Stage(store)

        def read_topics(after: int, limit: int, *topics: str) -> EventRange:
            with store.begin() as tx:
                return tx.events.read_topics_after(after, limit, topics)

        assert read_topics(0, 9, "order.paid") == EventRange(0, [])
        buyer, product = stage.account(), stage.product()
        for _ in range(2):
            stage.order(buyer, {product: 1}, OrderStatus.PAID)
        assert number(store) == 7
        events = read(store)
        assert [event.topic for event in events] == [
            "product.listed", *("order.placed", "order.reserved", "order.paid") * 2,
        ]  # fmt: skip
        assert read_topics(0, 3, "order.paid") == EventRange(3, [])
        assert read_topics(3, 3, "order.paid") == EventRange(6, [events[3]])
        assert read_topics(0, 9, "order.paid", "product.listed") == EventRange(7, [events[0], events[3], events[6]])
        assert read_topics(0, 9) == EventRange(7, [])
        assert read_topics(7, 9, "order.paid") == EventRange(7, [])

    def test_the_first_number_is_one(self, store: Store) -> None:
        with store.begin() as tx:
            assert tx.events.last_seq() == 0
        Stage(store).product()
        number(store)
        with store.begin() as tx:
            assert tx.events.last_seq() == 1

    def test_a_relay_that_is_killed_leaves_no_gap(self, store: Store) -> None:
        stage = Stage(store)
        for _ in range(3):
            stage.product()
        assert number(store, 1) == 1

        def killed() -> None:
            with store.begin() as tx:
                assert tx.events.assign_sequence(10) == 2
                raise IntentionalRollback

        with pytest.raises(IntentionalRollback):
            killed()
        assert [event.seq for event in read(store)] == [1]
        stage.product()
        assert number(store) == 3
        assert [event.seq for event in read(store)] == [1, 2, 3, 4]

    def test_a_rolled_back_event_takes_no_number(self, store: Store) -> None:
        stage = Stage(store)
        product = stage.product()

        def edit() -> None:
            with store.begin() as tx:
                found = tx.products.lock([product])[product]
                found.edit(NOW, price=usd(7))
                tx.products.save([found])
                raise IntentionalRollback

        with pytest.raises(IntentionalRollback):
            edit()
        stage.withdraw(product)
        number(store)
        assert [(event.seq, event.topic) for event in read(store)] == [(1, "product.listed"), (2, "product.withdrawn")]

    def test_an_account_that_buys_from_itself_is_in_the_audience_once(self, store: Store) -> None:
        stage = Stage(store)
        seller = stage.account()
        stage.order(seller, {stage.product(seller): 1})
        assert number(store) == 2
        assert [set(event.audience) for event in read(store)] == [{seller}, {seller}]

    def test_every_seller_of_an_order_is_in_the_audience(self, store: Store) -> None:
        stage = Stage(store)
        sellers = [stage.account() for _ in range(6)]
        for count in range(1, 7):
            buyer = stage.account()
            stage.order(buyer, {stage.product(seller): 1 for seller in sellers[:count]}, OrderStatus.PAID)
            number(store)
            with store.begin() as tx:
                chosen = tx.events.read_topics_after(0, 1_000, ["order.paid"]).events
            for found in (read(store)[-1], chosen[-1]):
                assert (found.topic, sorted(found.audience)) == ("order.paid", sorted([*sellers[:count], buyer]))

    def test_concurrent_relays_number_each_event_once(self, store: Store) -> None:
        stage = Stage(store)
        seller = stage.account()
        done = threading.Event()
        counts: list[int] = []

        def sell() -> None:
            for _ in range(20):
                stage.product(seller)

        def sell_and_end() -> None:
            run_in_threads(sell, sell)
            done.set()

        def relay() -> None:
            while not done.is_set():
                counts.append(number(store, 3))

        run_in_threads(sell_and_end, relay, relay)
        while numbered := number(store, 3):
            counts.append(numbered)
        assert sum(counts) == 40
        events = read(store)
        assert [event.seq for event in events] == list(range(1, 41))
        assert len({event.payload["product_id"] for event in events}) == 40

    # --- consumers

    def test_a_consumer_begins_with_new_events_and_continues_at_its_place(self, store: Store) -> None:
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

    def test_a_consumer_that_rolls_back_reads_the_events_again(self, store: Store) -> None:
        with store.begin() as tx:
            assert tx.events.claim("mail") == 0
        stage = Stage(store)
        stage.product()
        number(store)

        def fail() -> None:
            with store.begin() as tx:
                assert tx.events.claim("mail") == 0
                tx.events.advance("mail", 1)
                raise IntentionalRollback

        with pytest.raises(IntentionalRollback):
            fail()
        with store.begin() as tx:
            assert tx.events.claim("mail") == 0

    # --- purging

    def listed(self, store: Store, *ages: int) -> AccountId:
        """Numbered events, each the given number of days old."""
        stage = Stage(store)
        seller = stage.account()
        for age in ages:
            stage.product(seller, at=NOW - age * DAY)
        number(store)
        return seller

    def test_old_events_are_purged_in_batches(self, store: Store) -> None:
        self.listed(store, 9, 8, 7, 2, 1)
        assert [purge(store, NOW - 5 * DAY, 2) for _ in range(3)] == [2, 1, 0]
        assert [event.seq for event in read(store)] == [4, 5]
        Stage(store).product()
        number(store)
        assert [event.seq for event in read(store)] == [4, 5, 6]

    def test_events_are_purged_from_the_old_end_only(self, store: Store) -> None:
        """Clocks differ, so an event may have a higher number and an earlier time than another."""
        self.listed(store, 9, 2, 8)
        assert purge(store, NOW - 5 * DAY) == 1
        assert [event.seq for event in read(store)] == [2, 3]

    def test_numbering_continues_when_all_events_are_purged(self, store: Store) -> None:
        self.listed(store, 9, 9)
        assert purge(store, NOW) == 2
        assert read(store) == []
        self.listed(store, 0)
        assert [event.seq for event in read(store)] == [3]

    def test_events_that_a_consumer_has_not_read_are_not_purged(self, store: Store) -> None:
        for consumer in ("slow", "fast"):
            with store.begin() as tx:
                tx.events.claim(consumer)
        self.listed(store, 9, 8, 7)
        assert purge(store, NOW) == 0
        for consumer, seq in (("slow", 1), ("fast", 3)):
            with store.begin() as tx:
                tx.events.claim(consumer)
                tx.events.advance(consumer, seq)
        assert purge(store, NOW) == 1
        assert [event.seq for event in read(store)] == [2, 3]

    def test_unnumbered_events_are_not_purged(self, store: Store) -> None:
        stage = Stage(store)
        stage.product(at=NOW - 9 * DAY)
        assert purge(store, NOW) == 0
        number(store)
        assert len(read(store)) == 1

    def test_purging_and_numbering_can_run_concurrently(self, store: Store) -> None:
        stage = Stage(store)
        seller = stage.account()
        purged: list[int] = []

        def sell_and_number() -> None:
            for _ in range(20):
                stage.product(seller, at=NOW - DAY)
                number(store)

        def cut() -> None:
            purged.extend(purge(store, NOW, 3) for _ in range(20))

        run_in_threads(sell_and_number, cut, cut)
        while cut_off := purge(store, NOW, 3):
            purged.append(cut_off)
        assert sum(purged) == 20
        assert read(store) == []


class FeedContract:
    def test_staff_see_everything_without_a_gap(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        seller, buyer = stage.account(), stage.account()
        product = stage.product(seller, price=12_50)
        order = stage.order(buyer, {product: 2})
        assert queries.feed(None, 10, None) == FeedPage((), 0, 0)
        number(store)
        page = queries.feed(0, 10, None)
        assert page == FeedPage(
            (
                FeedEvent(1, "product.listed", NOW, {"product": product, "seller": seller}),
                FeedEvent(
                    2,
                    "order.placed",
                    NOW,
                    {
                        "order": order,
                        "status": "CREATED",
                        "buyer": buyer,
                        "sellers": [seller],
                        "currency": "USD",
                        "lines": [{"product": product, "quantity": 2, "price": "12.50"}],
                    },
                ),
            ),
            next_after=2,
            last=2,
        )
        assert queries.feed(None, 10, None) == page
        assert queries.visible_events([1, 2, 99], None) == {event.seq: event for event in page.events}

    def test_accounts_see_the_events_that_concern_them(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        ann, bob, buyer, stranger = (stage.account() for _ in range(4))
        pot, cup = stage.product(ann, price=9_00), stage.product(bob, price=3_00)
        order = stage.order(buyer, {pot: 1, cup: 4}, OrderStatus.PAID)
        stage.refund(order, [RefundLine(cup, 2)])
        number(store)
        pots = {"product": pot, "quantity": 1, "price": "9.00"}
        cups = {"product": cup, "quantity": 4, "price": "3.00"}
        back = {"amount": "6.00", "refunds": [{"product": cup, "quantity": 2, "amount": "6.00"}]}

        def seen(account: AccountId) -> list[tuple[str, object]]:
            return [(event.topic, event.data) for event in queries.feed(0, 10, account).events]

        def of_order(status: str, *lines: object) -> dict[str, object]:
            return {"order": order, "status": status, "currency": "USD", "lines": list(lines)}

        of_ann, of_bob, of_buyer = (
            [
                ("order.placed", of_order("CREATED", *lines)),
                ("order.reserved", of_order("PENDING", *lines)),
                ("order.paid", of_order("PAID", *lines)),
            ]
            for lines in ([pots], [cups], [pots, cups])
        )
        # Sellers see an order only once it is decided.
        assert seen(ann) == [("product.listed", {"product": pot}), *of_ann[1:]]
        assert seen(bob) == [
            ("product.listed", {"product": cup}), *of_bob[1:], ("order.refunded", of_order("PAID", cups) | back),
        ]  # fmt: skip
        assert seen(buyer) == [*of_buyer, ("order.refunded", of_order("PAID", pots, cups) | back)]
        assert seen(stranger) == []
        everything = range(1, 20)
        for account in (ann, bob, buyer, stranger):
            events = queries.feed(0, 10, account).events
            assert queries.visible_events(everything, account) == {event.seq: event for event in events}

    def test_events_of_many_sellers_are_seen_by_each_until_they_are_purged(
        self, store: Store, queries: Queries
    ) -> None:
        stage = Stage(store)
        readers = [stage.account() for _ in range(6)]
        stage.order(stage.account(), {stage.product(seller): 1 for seller in readers}, OrderStatus.PAID)
        number(store)
        paid = queries.feed(0, 100, None).events[-1].seq
        for reader in readers:
            assert paid in queries.visible_events([paid], reader)
            assert [event.topic for event in queries.feed(0, 100, reader).events][1:] == [
                "order.reserved",
                "order.paid",
            ]
        assert purge(store, NOW + DAY) == paid
        assert [queries.feed(None, 100, reader).events for reader in readers] == [()] * 6

    def test_a_refund_shows_each_seller_their_part(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        ann, bob = stage.account(), stage.account()
        pot, cup = stage.product(ann, price=9_00), stage.product(bob, price=3_00)
        stage.order(stage.account(), {pot: 1, cup: 4}, OrderStatus.REFUNDED)
        number(store)
        amounts = {}
        for reader in (None, ann, bob):
            *_, refunded = queries.feed(0, 10, reader).events
            assert refunded.data["status"] == "REFUNDED"
            amounts[reader] = refunded.data["amount"], len(refunded.data["refunds"])
        assert amounts == {None: ("21.00", 2), ann: ("9.00", 1), bob: ("12.00", 1)}

    def test_prices_are_decimal_strings(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        seller = stage.account()
        product = stage.product(seller, price=9_00)
        stage.reprice(product, 8_50, NOW + DAY)
        number(store)
        *_, changed = queries.feed(0, 10, seller).events
        assert changed == FeedEvent(
            2,
            "price.changed",
            NOW + DAY,
            {"product": product, "old": "9.00", "new": "8.50", "currency": "USD", "cause": "manual"},
        )

    def test_a_reader_can_follow_the_feed_page_by_page(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        seller, other = stage.account(), stage.account()
        for who in (seller, other, seller, seller, other, other):
            stage.product(who)
        number(store)

        def followed(account: AccountId | None, limit: int) -> tuple[list[int], int]:
            seen, after = [], 0
            while events := (page := queries.feed(after, limit, account)).events:
                seen += [event.seq for event in events]
                after = page.next_after
            return seen, page.next_after

        for limit in (1, 2, 3, 100):
            assert followed(seller, limit) == ([1, 3, 4], 6)
            assert followed(other, limit) == ([2, 5, 6], 6)
            assert followed(None, limit) == ([1, 2, 3, 4, 5, 6], 6)

    def test_a_reader_without_events_advances_to_the_end_of_the_feed(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        bystander = stage.account()
        stage.product()
        number(store)
        assert queries.feed(0, 10, bystander) == FeedPage((), next_after=1, last=1)
        stage.product()
        assert queries.feed(1, 10, bystander).next_after == 1

    def test_a_reader_behind_the_oldest_event_gets_an_error(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        seller = stage.account()
        for age in (9, 8, 0):
            stage.product(seller, at=NOW - age * DAY)
        number(store)
        assert purge(store, NOW - DAY) == 2
        for reader in (None, seller, stage.account()):
            for after in (0, 1):
                with pytest.raises(EventsForgotten) as caught:
                    queries.feed(after, 10, reader)
                assert (caught.value.after, caught.value.oldest_after) == (after, 2)
        assert [event.seq for event in queries.feed(2, 10, seller).events] == [3]
        assert queries.feed(None, 10, seller) == queries.feed(2, 10, seller)
        assert list(queries.visible_events([1, 2, 3], seller)) == [3]

    def test_a_place_beyond_the_end_of_the_feed_is_refused(self, store: Store, queries: Queries) -> None:
        Stage(store).product()
        number(store)
        assert queries.feed(1, 10, None).events == ()
        with pytest.raises(Invalid, match="after"):
            queries.feed(2, 10, None)
        with pytest.raises(Invalid, match="after"):
            queries.feed(2**63 - 1, 10, AccountId(1))
