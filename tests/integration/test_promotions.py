"""Promotions on PostgreSQL: several workers at once, crashes, races with edits."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from random import Random
from typing import Any

import pytest
from attrs import frozen

from adapters.db.core.engine import database_engine
from adapters.db.store import PostgresStore
from scalecommerce_core.domain.account import Account
from scalecommerce_core.domain.identifiers import ProductId
from scalecommerce_core.domain.money import Money
from scalecommerce_core.domain.product import PriceCause
from scalecommerce_core.domain.promotion import Promotion, PromotionsOverlap, PromotionStatus
from scalecommerce_core.ports import Store
from scalecommerce_core.queries import PageRequest
from scalecommerce_core.services.market import Market
from scalecommerce_core.services.promotions import CancelPromotion, CreatePromotion, Promotions
from scalecommerce_core.services.results import unwrap_single
from scalecommerce_core.testing import SettableClock
from scalecommerce_core.testing.failpoints import Crash, FailPoints, Seams, crash
from tests.integration.real_market import real_market
from tests.unit.support.shop import MarketActions

PRODUCTS = 60
WORKERS = 6
DAY = timedelta(days=1)


@frozen
class Place:
    market: Market
    clock: SettableClock
    url: str
    seller: Account
    products: list[ProductId]

    def announce(self, **fields: Any) -> Promotion:
        now = self.clock.now()
        usual: dict[str, Any] = {"starts_at": now + DAY, "ends_at": now + 2 * DAY, "percent": 20}
        command = CreatePromotion(self.seller.id, "Sale", all_products=True, **usual | fields)
        return unwrap_single(self.market.promotions.create([command]))

    def prices(self) -> set[str]:
        views = self.market.queries.products(self.products)
        return {view.price.text for view in views.values()}

    def causes(self, product: ProductId) -> list[PriceCause]:
        history = self.market.queries.price_history(product, self.clock.now())
        assert history is not None
        return [interval.cause for interval in reversed(history.intervals)]

    def status(self, promotion: Promotion) -> PromotionStatus:
        found = self.market.queries.promotion(promotion.id)
        assert found is not None
        return found.status


@pytest.fixture
def place(database: str) -> Iterator[Place]:
    clock = SettableClock()
    with real_market(database, clock) as market:
        actions = MarketActions(market)
        seller = actions.person("seller")
        yield Place(market, clock, database, seller, [actions.list(seller) for _ in range(PRODUCTS)])


@contextmanager
def opened(url: str) -> Iterator[Store]:
    engine = database_engine(url)
    try:
        yield PostgresStore(engine)
    finally:
        engine.dispose()


def sweep_together(place: Place) -> None:
    """Several workers, each with connections of its own, sweep in small batches until nothing is due."""
    errors: list[BaseException] = []

    def work() -> None:
        try:
            with opened(place.url) as store:
                promotions = Promotions(store, place.clock)
                while promotions.sweep(7):
                    pass
        except BaseException as error:  # noqa: BLE001 - reported by the main thread
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(WORKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    # A worker ends while another one holds the last rows.
    while place.market.promotions.sweep(100):
        pass


def test_several_workers_change_each_price_once(place: Place) -> None:
    promotion = place.announce()
    following = place.announce(starts_at=promotion.ends_at, ends_at=promotion.ends_at + DAY, percent=50)
    for expected in ("8.00", "4.00", "10.00"):
        place.clock.advance(days=1)
        sweep_together(place)
        assert place.prices() == {expected}
    for product in place.products:
        assert place.causes(product) == [
            PriceCause.LISTED, PriceCause.PROMOTION, PriceCause.PROMOTION_END, PriceCause.PROMOTION,
            PriceCause.PROMOTION_END,
        ]  # fmt: skip
    assert {place.status(each) for each in (promotion, following)} == {PromotionStatus.ENDED}
    rows = place.market.queries.promoted_products(following.id, PageRequest(PRODUCTS)).rows
    assert {item.prior_price for item in rows} == {Money(8_00, "USD")}, "the price of the promotion before"
    place.market.relay.assign_sequence(1_000)
    topics = [event.topic for event in place.market.queries.feed(0, 1_000, None).events]
    assert topics.count("promotion.started") == topics.count("promotion.ended") == 2


@pytest.mark.parametrize("share", [0.05, 0.2])
def test_a_sweep_continues_after_crashes(share: float, place: Place) -> None:
    promotion, random, crashes = place.announce(), Random(4), 0
    seams = Seams(FailPoints(lambda _seam: random.random() < share, crash))
    for expected in ("8.00", "10.00"):
        place.clock.advance(days=1)
        with opened(place.url) as store:
            promotions, is_done = Promotions(seams.store(store), place.clock), False
            while not is_done:
                try:
                    is_done = promotions.sweep(9) == 0
                except Crash:
                    crashes += 1
        assert place.prices() == {expected}
    assert crashes > 3
    assert place.status(promotion) is PromotionStatus.ENDED
    assert all(place.causes(each)[1:] == [PriceCause.PROMOTION, PriceCause.PROMOTION_END] for each in place.products)


def test_concurrent_announcements_put_a_product_into_one_promotion(place: Place) -> None:
    results: list[object] = []
    now = place.clock.now()

    def announce() -> None:
        with opened(place.url) as store:
            command = CreatePromotion(place.seller.id, "Sale", now + 2 * DAY, now + DAY, all_products=True)
            results.extend(Promotions(store, place.clock).create([command]))

    threads = [threading.Thread(target=announce) for _ in range(WORKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    kinds = [type(result) for result in results]
    assert (kinds.count(Promotion), kinds.count(PromotionsOverlap)) == (1, WORKERS - 1)


def test_a_promotion_that_is_cancelled_while_it_starts_restores_all_prices(place: Place) -> None:
    promotion = place.announce(starts_at=None)
    stop = threading.Event()

    def work() -> None:
        with opened(place.url) as store:
            promotions = Promotions(store, place.clock)
            while not stop.is_set():
                promotions.sweep(3)

    thread = threading.Thread(target=work)
    thread.start()
    unwrap_single(place.market.promotions.cancel([CancelPromotion(promotion.id, None)]))
    stop.set()
    thread.join(60)
    while place.market.promotions.sweep(100):
        pass
    assert place.prices() == {"10.00"}
    assert place.status(promotion) is PromotionStatus.ENDED
