"""Tests of the evidence of pricing: sales, views and refunds by price interval, from the store to the signals."""

from datetime import datetime

import numpy as np
import pytest

from scalecommerce_core.domain.identifiers import AccountId, OrderId, ProductId
from scalecommerce_core.domain.order import OrderOrigin, OrderStatus, RefundLine
from scalecommerce_core.domain.product import PriceCause, PriceWithdrawal
from scalecommerce_core.ports import PendingFacts, PendingOrderFacts, Store
from scalecommerce_core.pricing.evidence import SHORTEST_OBSERVATION
from scalecommerce_core.pricing.explaining import explain_inputs
from scalecommerce_core.pricing.facts import MOST_EARLIER, Facts, PriceIntervals, microseconds
from scalecommerce_core.pricing.observation import ASSUMED_CONVERSION, RangeResult
from scalecommerce_core.pricing.policy import PricingPolicy
from scalecommerce_core.pricing.policy_scope import policy_scope
from scalecommerce_core.pricing.replay import replay
from scalecommerce_core.pricing.runs import RunStatus
from scalecommerce_core.services.pricing import CreatePolicy, Pricing
from scalecommerce_core.services.repricing import Repricing
from scalecommerce_core.services.repricing.common import RunContext, decide
from scalecommerce_core.services.results import unwrap_single
from scalecommerce_core.testing.contracts.stage import DAY, NOW, SECOND, Stage, new_order, usd
from scalecommerce_core.testing.contracts.statistics import adjust_stock, fold, statistics
from scalecommerce_core.testing.fakes import SettableClock

OLD, NEW = 10_00, 12_00
LISTED = NOW - 70 * DAY
STOCK = 1_000


class ObservedProduct:
    """A product of a seller with a policy; the statistics are up to date before each reading."""

    def __init__(self, store: Store, *, stock: int = STOCK, **policy: object) -> None:
        self.store = store
        self.stage = Stage(store)
        self.buyer: AccountId = self.stage.account()
        seller = self.stage.account()
        self.product: ProductId = self.stage.product(seller, price=OLD, stock=stock, at=LISTED, cost=usd(4_00))
        with store.begin() as tx:
            (id_,) = tx.policies.next_ids(1)
            self.policy = PricingPolicy(id_, seller, "Learn", LISTED, **policy)  # type: ignore[arg-type]
            tx.policies.add([self.policy])
        self.epoch = 0

    def sell(self, units: int, at: datetime, *, orders: int = 1) -> OrderId:
        """Paid orders of so many units each; return the first one."""
        paid = [self.stage.order(self.buyer, {self.product: units}, OrderStatus.PAID, at=at) for _ in range(orders)]
        return paid[0]

    def view(self, views: int, at: datetime) -> None:
        self.stage.view({self.product: views}, at)

    def refund(self, order: OrderId, units: int, at: datetime) -> None:
        self.stage.refund(order, [RefundLine(self.product, units)], at)

    def reprice(self, price: int, at: datetime, cause: PriceCause = PriceCause.MANUAL) -> None:
        self.stage.reprice(self.product, price, at, cause)

    def import_sale(self, units: int, at: datetime) -> None:
        """A paid order that an import writes without events."""
        with self.store.bulk() as tx:
            (id_,) = tx.orders.next_ids(1)
            order = new_order(tx, id_, self.buyer, {self.product: units}, at=at, origin=OrderOrigin.IMPORT)
            stock = tx.stock.lock([self.product])
            order.decide(stock, at, at + DAY)
            order.pay(stock, at)
            order.events.clear()
            tx.statistics.add_pending_facts(PendingFacts(orders=[PendingOrderFacts.of(order)]))
            tx.orders.add([order])
            tx.stock.save(list(stock.values()))

    def import_views(self, views: int, at: datetime) -> None:
        with self.store.begin() as tx:
            tx.products.add_views({(self.product, at): views}, past=True)

    def read(self, now: datetime = NOW) -> tuple[Facts, PriceIntervals]:
        fold(self.store)
        with self.store.begin() as tx:
            return (
                tx.runs.facts(policy_scope(self.policy, [self.policy]), self.product, self.product, now),
                tx.runs.price_intervals(self.product, self.product, LISTED - DAY, counted_after=LISTED - DAY),
            )

    def run(self, now: datetime) -> RangeResult:
        """What a run at `now` decides; its state is stored, and its prices are not written."""
        fold(self.store)
        self.epoch += 1
        context = RunContext(self.policy, self.policy.strategy(), policy_scope(self.policy, [self.policy]))
        with self.store.begin() as tx:
            bounds = (self.product, self.product)
            result = decide(tx, context, self.product, bounds, epoch=self.epoch, now=now)
            tx.runs.save_policy_state(self.policy.id, self.product, result.policy_state)
            tx.runs.save_category_parameters(self.policy.id, result.category_parameters)
        again = replay(result.inputs)
        assert (again.new.tolist(), again.motive.tolist()) == (
            result.decisions.new.tolist(), result.decisions.motive.tolist(),
        )  # fmt: skip
        return result


def signal(result: RangeResult, *names: str) -> tuple[float, ...]:
    return tuple(getattr(result.signals, name).item() for name in names)


class SignalsContract:
    # --- facts

    def test_figures_are_kept_for_each_price_interval(self, store: Store) -> None:
        observed = ObservedProduct(store)
        observed.view(90, NOW - 60 * DAY)
        order = observed.sell(3, NOW - 50 * DAY, orders=2)
        observed.reprice(NEW, NOW - 10 * DAY)
        observed.view(20, NOW - 5 * DAY)
        observed.sell(1, NOW - 4 * DAY)
        observed.refund(order, 2, NOW - DAY)
        facts, past = observed.read()
        assert [getattr(facts, name).item() for name in ("views", "orders", "units", "refunded")] == [20, 1, 1, 0]
        assert (facts.net_units.item(), facts.net_amount.item()) == (5, 4 * OLD + NEW)
        assert past.price.tolist() == [OLD, NEW]
        assert [getattr(past, name).tolist() for name in ("views", "orders", "units", "refunded")] == [
            [90, 20], [2, 1], [6, 1], [2, 0],
        ]  # fmt: skip
        assert (past.is_promoted.tolist(), past.is_manual.tolist()) == ([False, False], [False, True])

    def test_views_without_stock_do_not_count_for_demand(self, store: Store) -> None:
        observed = ObservedProduct(store, stock=10)
        observed.view(40, NOW - 9 * DAY)
        adjust_stock(store, observed.product, -10, NOW - 8 * DAY)
        observed.view(25, NOW - 7 * DAY)
        adjust_stock(store, observed.product, 5, NOW - 6 * DAY)
        observed.view(30, NOW - 5 * DAY)
        facts, _ = observed.read()
        assert (facts.views.item(), facts.views_ever.item()) == (70, 95)
        statistics(store).rebuild()
        facts, _ = observed.read()
        assert facts.views.item() == 70

    def test_a_product_without_sales_has_sold_nothing(self, store: Store) -> None:
        observed = ObservedProduct(store)
        facts, _ = observed.read()
        totals = ("orders", "units", "refunded", "net_units", "net_amount")
        assert [getattr(facts, name).item() for name in totals] == [0, 0, 0, 0, 0]
        observed.run(NOW - 14 * DAY)
        observed.view(100, NOW - 12 * DAY)
        observed.sell(1, NOW - 12 * DAY)
        observed.reprice(NEW, NOW - 10 * DAY)
        observed.sell(1, NOW - 9 * DAY)
        assert signal(observed.run(NOW - 7 * DAY), "units", "late_units") == (1, 0)

    def test_imported_sales_count_only_together_with_imported_views(self, store: Store) -> None:
        observed = ObservedProduct(store)
        observed.view(50, NOW - 2 * DAY)
        observed.sell(2, NOW - 2 * DAY)
        observed.import_sale(7, NOW - 30 * DAY)
        facts, _ = observed.read()
        assert [getattr(facts, name).item() for name in ("views", "orders", "units", "net_units")] == [50, 1, 2, 2]
        observed.import_views(400, NOW - 30 * DAY)
        facts, _ = observed.read()
        assert [getattr(facts, name).item() for name in ("views", "orders", "units", "net_units")] == [450, 2, 9, 9]
        assert facts.net_amount.item() == 9 * OLD
        statistics(store).rebuild()
        facts, _ = observed.read()
        assert [getattr(facts, name).item() for name in ("views", "units", "net_units")] == [450, 9, 9]

    # --- signals

    def test_an_order_counts_at_the_price_at_which_it_was_placed(self, store: Store) -> None:
        observed = ObservedProduct(store)
        observed.view(800, NOW - 20 * DAY)
        observed.sell(3, NOW - 20 * DAY, orders=2)
        unpaid = observed.stage.order(observed.buyer, {observed.product: 4}, at=NOW - 14 * DAY - SECOND)
        observed.stage.decide([unpaid], NOW - 14 * DAY - SECOND, lasting=30 * DAY)
        observed.run(NOW - 14 * DAY)
        observed.reprice(NEW, NOW - 14 * DAY + SECOND, PriceCause.POLICY)
        observed.view(100, NOW - 10 * DAY)
        observed.sell(1, NOW - 10 * DAY)
        observed.stage.pay(unpaid, NOW - 9 * DAY)
        result = observed.run(NOW - 7 * DAY)
        assert signal(result, "price", "views", "orders", "units") == (NEW, 100, 1, 1)
        assert signal(result, "late_units", "late_price") == (4, OLD)
        assert explain_inputs(result.inputs)["late sales"] == "4 units of earlier prices, 10.00 on average, paid"

    def test_refunds_of_earlier_prices_do_not_reduce_the_units_of_this_price(self, store: Store) -> None:
        observed = ObservedProduct(store)
        observed.view(2_000, NOW - 20 * DAY)
        order = observed.sell(40, NOW - 20 * DAY)
        observed.run(NOW - 14 * DAY)
        observed.reprice(NEW, NOW - 14 * DAY + SECOND, PriceCause.POLICY)
        observed.view(600, NOW - 10 * DAY)
        observed.sell(1, NOW - 10 * DAY, orders=14)
        observed.refund(order, 40, NOW - 9 * DAY)
        result = observed.run(NOW - 7 * DAY)
        assert signal(result, "price", "views", "orders", "units", "refunded") == (NEW, 600, 14, 14, 0)
        assert signal(result, "late_units", "late_price", "is_held") == (-40, OLD, False)
        assert explain_inputs(result.inputs)["late sales"] == "40 units of earlier prices, 10.00 on average, refunded"

    def test_a_price_that_ended_between_two_runs_is_observed_first(self, store: Store) -> None:
        observed = ObservedProduct(store, policy="hill_climb", parameters={"memory_days": 365.0})
        observed.view(1_600, NOW - 20 * DAY)
        observed.sell(32, NOW - 20 * DAY)
        first = observed.run(NOW - 14 * DAY)
        observed.view(100, NOW - 12 * DAY)
        observed.sell(2, NOW - 12 * DAY)
        observed.reprice(NEW, NOW - 11 * DAY)
        observed.view(80, NOW - 9 * DAY)
        observed.sell(1, NOW - 9 * DAY)
        result = observed.run(NOW - 7 * DAY)
        assert signal(result, "price", "views", "units", "days") == (NEW, 80, 1, 4)
        assert signal(result, "late_units", "epoch_days") == (0, 7)
        # Both prices were learned, in order: the present one alone counts for its profit.
        learned = result.state.products
        assert (learned["at"].item(), learned["views"].item(), learned["units"].item()) == (NEW, 80, 1)
        faded = (365 / 368) * (365 / 369)
        before = first.state.products["recent_views"].item()
        assert learned["recent_views"].item() == pytest.approx(before * faded + 100 * 365 / 369 + 80)

    def test_a_price_set_by_hand_is_evidence(self, store: Store) -> None:
        observed = ObservedProduct(store)
        runs = []
        for week in range(4, 1, -1):
            observed.view(500, NOW - (7 * week + 3) * DAY)
            observed.sell(1, NOW - (7 * week + 3) * DAY, orders=15)
            runs.append(observed.run(NOW - 7 * week * DAY))
        observed.reprice(6_00, NOW - 14 * DAY + SECOND)
        observed.view(500, NOW - 10 * DAY)
        observed.sell(1, NOW - 10 * DAY, orders=45)
        after = observed.run(NOW - 7 * DAY)
        assert signal(after, "price", "reference", "seller_price", "units") == (6_00, OLD, 6_00, 45)
        learned, known = after.state.products, runs[-1].state.products
        assert learned["c11"].item() < known["c11"].item() < 1.0
        assert learned["a"].item() == pytest.approx(known["a"].item(), abs=0.3)

    def test_prices_that_were_withdrawn_are_no_observation(self, store: Store) -> None:
        observed = ObservedProduct(store)
        observed.view(1_200, NOW - 20 * DAY)
        observed.run(NOW - 14 * DAY)
        mistake = NOW - 12 * DAY
        observed.reprice(1, mistake)
        observed.view(300, NOW - 11 * DAY)
        observed.sell(60, NOW - 11 * DAY)
        observed.reprice(OLD, NOW - 10 * DAY, PriceCause.WITHDRAWAL)
        with store.begin() as tx:
            seller = tx.products.lock([observed.product])[observed.product].seller_id
            withdrawal = PriceWithdrawal(NOW - 10 * DAY, seller, "typing error")
            tx.products.withdraw_prices({(observed.product, mistake): withdrawal})
        observed.view(90, NOW - 8 * DAY)
        observed.sell(2, NOW - 8 * DAY)
        result = observed.run(NOW - 7 * DAY)
        assert signal(result, "price", "views", "units", "late_units") == (OLD, 90, 2, 0)

    def test_sales_without_counted_views_are_observed_by_time(self, store: Store) -> None:
        observed = ObservedProduct(store)
        observed.sell(1, NOW - 40 * DAY, orders=14)
        first = observed.run(NOW - 35 * DAY)
        per_day = 14 / ASSUMED_CONVERSION / 35
        assert signal(first, "units", "days", "views_assumed") == (14, 35, True)
        told = "14 units sold in 35 days on sale, compared with time: views are not counted"
        assert explain_inputs(first.inputs)["demand"] == told
        assert signal(first, "views", "views_ever") == pytest.approx((per_day * 35, per_day * 35))
        observed.sell(1, NOW - 29 * DAY, orders=3)
        second = observed.run(NOW - 28 * DAY)
        assert signal(second, "views", "units") == pytest.approx((per_day * 7, 3))
        third = observed.run(NOW - 21 * DAY)
        assert signal(third, "views", "units") == pytest.approx((per_day * 7, 0))
        assert third.state.products["a"].item() < first.state.products["a"].item()

    # --- history

    def test_a_policy_begins_with_the_history_of_its_products(self, store: Store) -> None:
        observed = ObservedProduct(store, policy="elasticity_learning", parameters={"level": 0.0, "slope": 0.0})
        rates = {OLD: 40, 9_00: 50, NEW: 26, 11_00: 32}
        for number, (price, units) in enumerate(rates.items()):
            begun = LISTED + 15 * number * DAY
            if number:
                observed.reprice(price, begun)
            observed.view(1_000, begun + 5 * DAY)
            observed.sell(1, begun + 6 * DAY, orders=units)
        result = observed.run(NOW)
        assert signal(result, "price", "views", "units", "late_units") == (11_00, 1_000, 32, 0)
        learned = {name: result.state.products[name].item() for name in ("a", "b", "c11")}
        assert learned["c11"] < 0.9**2 * 0.8
        conversion = {price: np.exp(learned["a"] + learned["b"] * (price / 11_00 - 1)) for price in rates}
        assert conversion == pytest.approx({price: units / 1_000 for price, units in rates.items()}, rel=0.15)
        # The next run counts only what happened since.
        observed.view(10, NOW + DAY)
        following = observed.run(NOW + 7 * DAY)
        assert signal(following, "views", "units", "late_units") == (10, 0, 0)

    def test_the_first_run_of_a_policy_learns_from_the_history_of_a_shop(self, store: Store) -> None:
        stage, clock = Stage(store), SettableClock(NOW)
        seller, buyer = stage.account(), stage.account()
        products = [stage.product(seller, price=OLD, stock=STOCK, at=LISTED, cost=usd(4_00)) for _ in range(3)]
        for product, dear in zip(products, (30, 18, 12), strict=True):
            for begun, price, units in ((LISTED, OLD, 30), (NOW - 40 * DAY, NEW, dear)):
                if price != OLD:
                    stage.reprice(product, price, begun)
                stage.view({product: 800}, begun + DAY)
                for _ in range(units):
                    stage.order(buyer, {product: 1}, OrderStatus.PAID, at=begun + 2 * DAY)
        fold(store)
        document = {"name": "Learn", "policy": "elasticity_learning"}
        policy = unwrap_single(Pricing(store, clock).create([CreatePolicy(seller, document)]))
        run = Repricing(store, clock).run(policy.id)
        assert (run.status, run.tally.decided) == (RunStatus.DONE, 3)
        with store.begin() as tx:
            (block,) = tx.runs.blocks(policy.id)
            state = tx.runs.policy_state(policy.id, block)
        assert state is not None
        unchanged, fewer, fewest = state.state["b"].tolist()
        assert fewest < fewer < unchanged
        assert (state.state["c11"] < 0.9 * 0.9**2).all()

    def test_a_short_time_at_an_ended_price_counts_as_late_sales(self, store: Store) -> None:
        observed = ObservedProduct(store)
        observed.view(300, NOW - 20 * DAY)
        observed.run(NOW - 14 * DAY)
        observed.sell(2, NOW - 14 * DAY + SECOND)
        ended = NOW - 14 * DAY + SHORTEST_OBSERVATION / 2 * observed.policy.epoch
        observed.reprice(NEW, ended, PriceCause.POLICY)
        observed.view(90, NOW - 8 * DAY)
        result = observed.run(NOW - 7 * DAY)
        assert signal(result, "price", "late_units", "late_price") == (NEW, 2, OLD)

    def test_few_of_the_old_prices_of_a_product_are_read(self, store: Store) -> None:
        observed, hour = ObservedProduct(store), DAY / 24
        changes = [LISTED + (n + 1) * hour for n in range(MOST_EARLIER + 3)]
        for n, at in enumerate(changes):
            observed.reprice(OLD + 1 + n % 2, at)
        fold(store)

        def begins(since: datetime, all_since: datetime | None = None) -> list[int]:
            with store.begin() as tx:
                found = tx.runs.price_intervals(
                    observed.product, observed.product, since, counted_after=since, all_since=all_since
                )
            return [int(at) for at in found.valid_from]

        everything = [microseconds(at) for at in (LISTED, *changes)]
        assert begins(LISTED - DAY) == everything
        assert begins(LISTED - DAY, changes[-2]) == everything[-MOST_EARLIER - 1 :]
        assert begins(LISTED - DAY, NOW) == everything[-MOST_EARLIER:]
        assert begins(changes[-3], NOW) == begins(changes[-3]) == everything[-3:]
