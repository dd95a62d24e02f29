"""The ledger of simulated markets has the same facts as a database: random events are recorded in both."""

from collections.abc import Callable
from datetime import datetime, timedelta
from random import Random

import numpy as np
import pytest

from scalecommerce_core.domain.order import OrderStatus
from scalecommerce_core.domain.product import PriceCause
from scalecommerce_core.pricing.facts import FACTS, INTERVAL_COLUMNS, Facts, PriceIntervals, microseconds
from scalecommerce_core.simulation.ledger import Ledger, Listing
from scalecommerce_core.testing.contracts.signals import LISTED, OLD, STOCK, ObservedProduct
from scalecommerce_core.testing.contracts.stage import DAY, SECOND
from scalecommerce_core.testing.contracts.statistics import adjust_stock
from scalecommerce_core.testing.memory.store import MemoryStore

HOUR = timedelta(hours=1)


class TwoRecords:
    """One product, whose events are recorded in a `MemoryStore` and in a `Ledger`."""

    def __init__(self, seed: int) -> None:
        self.random, self.now = Random(seed), LISTED
        self.observed = ObservedProduct(MemoryStore())
        self.ledger = Ledger(
            Listing(price=np.array([OLD]), cost=4_00, stock=STOCK), microseconds(LISTED)
        )  # fmt: skip
        self.later: list[tuple[datetime, Callable[[], None]]] = []
        """Payments and refunds that the store still has to record; the ledger knows them in advance."""

    def live(self, steps: int) -> None:
        for _ in range(steps):
            self.now += self.random.randint(1, 30) * HOUR
            self.random.choice([self.view, self.view, self.order, self.order, self.reprice, self.run_out_of_stock])()
            self.catch_up()

    def catch_up(self) -> None:
        for _, record in sorted((each for each in self.later if each[0] <= self.now), key=lambda each: each[0]):
            record()
        self.later = [each for each in self.later if each[0] > self.now]
        self.ledger.settle(microseconds(self.now))

    def view(self) -> None:
        views = self.random.randint(1, 40)
        self.observed.view(views, self.now)
        self.ledger.add_views(views)

    def order(self) -> None:
        """An order that is paid now or later, and perhaps refunded in part."""
        units, stage = self.random.randint(1, 5), self.observed.stage
        paid_at = self.now + self.random.choice([0, 0, 20]) * HOUR
        order = stage.order(self.observed.buyer, {self.observed.product: units}, OrderStatus.PENDING, at=self.now)
        self.later.append((paid_at, lambda: stage.pay(order, paid_at)))
        self.ledger.add_orders(1, units, paid_at=microseconds(paid_at))
        self.ledger.stock -= units
        if back := self.random.choice([0, 0, self.random.randint(1, units)]):
            at = paid_at + self.random.randint(1, 200) * HOUR
            self.later.append((at, lambda: self.refund(lambda: self.observed.refund(order, back, at), back)))
            self.ledger.refund_later(back, microseconds(at))

    def refund(self, record: Callable[[], None], units: int) -> None:
        record()
        self.ledger.stock += units

    def reprice(self) -> None:
        price, is_manual = self.random.randint(8_00, 14_00), self.random.random() < 0.5
        cause = PriceCause.MANUAL if is_manual else PriceCause.POLICY
        moved = self.ledger.set_prices(
            np.arange(1), np.array([price]), microseconds(self.now), is_manual=is_manual
        )  # fmt: skip
        if len(moved):
            self.observed.reprice(price, self.now, cause)

    def run_out_of_stock(self) -> None:
        """No stock for some hours, in which the product is viewed."""
        hours, views, product = self.random.randint(1, 9), self.random.randint(0, 9), self.observed.product
        stock = int(self.ledger.stock[0])
        adjust_stock(self.observed.store, product, -stock, self.now)
        if views:
            self.observed.view(views, self.now + HOUR / 2)
        self.now += hours * HOUR
        adjust_stock(self.observed.store, product, stock, self.now)
        self.ledger.add_views(0, during_outage=views)
        self.ledger.out_of_stock += microseconds(LISTED + hours * HOUR) - microseconds(LISTED)

    def facts(self) -> tuple[Facts, PriceIntervals]:
        now, since = microseconds(self.now), microseconds(LISTED - DAY)
        facts, intervals = self.ledger.facts(now), self.ledger.intervals(1, 1, since)
        return Facts(**{name: facts[name] for name in FACTS}), PriceIntervals(
            **{name: intervals[name] for name in INTERVAL_COLUMNS}
        )


@pytest.mark.parametrize("seed", range(6))
def test_a_ledger_has_the_facts_of_a_store_with_the_same_events(seed: int) -> None:
    records = TwoRecords(seed)
    for _ in range(4):
        records.live(20)
        stored, intervals = records.observed.read(records.now + SECOND)
        ours, our_intervals = records.facts()
        for name in FACTS:
            assert getattr(ours, name).tolist() == getattr(stored, name).tolist(), name
        assert len(intervals) > 1
        for name in INTERVAL_COLUMNS:
            assert getattr(our_intervals, name).tolist() == getattr(intervals, name).tolist(), name
