"""Contract of promotions: `ports.PromotionRepository` and `queries.PromotionQueries`."""

from datetime import datetime
from typing import Any

from scalecommerce_core.domain.identifiers import AccountId, CategoryId, PolicyId, ProductId, PromotionId
from scalecommerce_core.domain.price_history import RunningPromotion
from scalecommerce_core.domain.product import PriceCause
from scalecommerce_core.domain.promotion import (
    PromotedProduct,
    Promotion,
    PromotionCandidate,
    PromotionNote,
    PromotionStatus,
)
from scalecommerce_core.ports import Store
from scalecommerce_core.pricing.facts import Facts, PriceIntervals, microseconds
from scalecommerce_core.pricing.policy import PricingPolicy
from scalecommerce_core.pricing.policy_scope import policy_scope
from scalecommerce_core.queries import PageRequest, Queries
from scalecommerce_core.testing.contracts.stage import DAY, NOW, SECOND, Stage, usd

STARTS = NOW + DAY
ENDS = NOW + 8 * DAY


def announce(
    store: Store,
    seller: AccountId,
    *products: ProductId,
    starts_at: datetime = STARTS,
    ends_at: datetime = ENDS,
    **facts: Any,
) -> Promotion:
    """Add a promotion of these products at 20 % off."""
    with store.begin() as tx:
        (id_,) = tx.promotions.next_ids(1)
        promotion = Promotion(id_, seller, "Sale", starts_at, ends_at, NOW, percent=20, products=len(products), **facts)
        tx.promotions.add(
            promotion,
            [PromotedProduct(id_, product, starts_at, ends_at, "USD", percent=20) for product in products],
        )
    return promotion


def advance(store: Store, now: datetime) -> int:
    """Do what a sweep does at `now`; return how many rows were claimed."""
    with store.begin() as tx:
        due = tx.promotions.claim_due(now, 100)
        for promotion in due:
            promotion.advance(now)
        tx.promotions.save(due)
        items = tx.promotions.claim_due_products(now, 100)
        products = tx.products.lock({item.product_id for item in items})
        history = tx.products.prices_since(products.keys(), NOW - 60 * DAY)
        for item in items:
            item.advance(products[item.product_id], history[item.product_id], now)
        tx.products.save(list(products.values()))
        tx.promotions.save_products(items)
    return len(due) + len(items)


class PromotionsContract:
    def test_promotions_are_stored_with_all_fields(self, store: Store) -> None:
        stage = Stage(store)
        seller = stage.account()
        product, other = stage.product(seller), stage.product(seller)
        with store.begin() as tx:
            (id_,) = tx.promotions.next_ids(1)
            promotion = Promotion(
                id_, seller, "Весна", STARTS, ENDS, NOW, category_id=CategoryId(3), is_all=True, products=2, version=4
            )
            items = [
                PromotedProduct(id_, product, STARTS, ENDS, "USD", usd(8_00)),
                PromotedProduct(id_, other, STARTS, ENDS, "USD", percent=15),
            ]
            tx.promotions.add(promotion, items)
        with store.begin() as tx:
            assert tx.promotions.get_many([id_, PromotionId(10**30)]) == {id_: promotion}
            assert tx.promotions.lock([id_]) == {id_: promotion}
            assert tx.promotions.lock_products(id_) == items
            promotion.status, promotion.name, promotion.ends_at = PromotionStatus.ENDED, "Later", ENDS + DAY
            items[0].status, items[0].note = PromotionStatus.ENDED, PromotionNote.NOT_LOWER
            items[0].prior_price, items[0].promoted_price, items[0].former_price = usd(10_00), usd(8_00), usd(11_00)
            items[0].applied_at = STARTS + SECOND
            tx.promotions.save([promotion])
            tx.promotions.save_products(items)
        with store.begin() as tx:
            assert tx.promotions.lock([id_]) == {id_: promotion}
            assert tx.promotions.lock_products(id_) == items

    def test_due_promotions_and_products_are_claimed_the_oldest_first(self, store: Store) -> None:
        stage = Stage(store)
        seller = stage.account()
        early, late, never = (stage.product(seller) for _ in range(3))
        second = announce(store, seller, late, starts_at=STARTS + SECOND)
        first = announce(store, seller, early)
        cancelled = announce(store, seller, never, status=PromotionStatus.CANCELLED)
        with store.begin() as tx:
            items = tx.promotions.lock_products(cancelled.id)
            for item in items:
                item.copy_schedule(cancelled)
            tx.promotions.save_products(items)
        with store.begin() as tx:
            assert tx.promotions.claim_due(STARTS - SECOND, 10) == []
            assert tx.promotions.claim_due_products(STARTS - SECOND, 10) == []
        with store.begin() as tx:
            assert [each.id for each in tx.promotions.claim_due(STARTS + SECOND, 10)] == [first.id, second.id]
            assert [each.product_id for each in tx.promotions.claim_due_products(STARTS + SECOND, 10)] == [early, late]
        with store.begin() as tx:
            assert [each.id for each in tx.promotions.claim_due(STARTS + SECOND, 1)] == [first.id]
            assert [each.product_id for each in tx.promotions.claim_due_products(STARTS + SECOND, 1)] == [early]
        assert advance(store, STARTS + SECOND) == 4
        assert advance(store, STARTS + SECOND) == 0
        assert advance(store, ENDS) == 4

    def test_a_product_enters_a_promotion_after_the_end_of_the_one_before_was_written(self, store: Store) -> None:
        stage = Stage(store)
        seller = stage.account()
        product = stage.product(seller, price=10_00)
        first, second = (
            announce(store, seller, product),
            announce(store, seller, product, starts_at=ENDS, ends_at=ENDS + DAY),
        )
        advance(store, STARTS)
        with store.begin() as tx:
            assert [each.promotion_id for each in tx.promotions.claim_due_products(ENDS, 10)] == [first.id]
        advance(store, ENDS)
        with store.begin() as tx:
            assert [each.promotion_id for each in tx.promotions.claim_due_products(ENDS, 10)] == [second.id]
            assert tx.products.lock([product])[product].price == usd(10_00)

    def test_candidates_are_products_of_a_seller_or_given_ones(self, store: Store) -> None:
        stage = Stage(store)
        seller, other = stage.account(), stage.account()
        tea = stage.product(seller, price=9_00, min_price=usd(5_00), category_id=CategoryId(2))
        pot, gone, foreign = stage.product(seller), stage.product(seller), stage.product(other, is_active=False)
        stage.withdraw(gone)
        with store.begin() as tx:
            found = tx.promotions.candidates(seller, 10)
            assert found == {
                tea: PromotionCandidate(tea, seller, usd(9_00), usd(5_00)),
                pot: PromotionCandidate(pot, seller, usd(10_00), None),
            }
            assert list(tx.promotions.candidates(seller, 1)) == [tea]
            assert list(tx.promotions.candidates(seller, 10, category_id=CategoryId(1))) == [pot]
            given = tx.promotions.candidates(seller, 10, product_ids=[foreign, gone, pot, ProductId(10**30)])
            assert list(given) == [pot, foreign]
            assert tx.promotions.candidates(seller, 10, product_ids=[]) == {}

    def test_open_promotions_are_counted_and_overlaps_found(self, store: Store) -> None:
        stage = Stage(store)
        seller = stage.account()
        tea, pot, cup = (stage.product(seller) for _ in range(3))
        first = announce(store, seller, tea, pot)
        with store.begin() as tx:
            assert [tx.promotions.count_open(each) for each in (seller, AccountId(seller + 1_000))] == [1, 0]
            none = PromotionId(first.id + 1_000)

            def overlapping(starts_at: datetime, ends_at: datetime, besides: PromotionId = none) -> Any:
                return tx.promotions.overlapping([cup, pot, tea], starts_at, ends_at, besides)

            assert overlapping(NOW, ENDS) == [(tea, first.id), (pot, first.id)]
            assert overlapping(ENDS - SECOND, ENDS + DAY) == [(tea, first.id), (pot, first.id)]
            assert overlapping(NOW, STARTS) == overlapping(ENDS, ENDS + DAY) == []
            assert overlapping(NOW, ENDS, first.id) == []
            items = tx.promotions.lock_products(first.id)
            for item in items:
                item.status = PromotionStatus.CANCELLED
            tx.promotions.save_products(items)
            assert overlapping(NOW, ENDS) == []

    def test_facts_and_intervals_know_promotions_and_stock_horizons(self, store: Store) -> None:
        stage = Stage(store)
        seller = stage.account()
        long_ago = NOW - 100 * DAY
        tea = stage.product(seller, at=long_ago, stock_until=ENDS)
        pot, cup = stage.product(seller, at=long_ago), stage.product(seller, at=long_ago)
        announce(store, seller, tea, pot)
        cancelled = announce(store, seller, cup, status=PromotionStatus.CANCELLED)
        with store.begin() as tx:
            items = tx.promotions.lock_products(cancelled.id)
            for item in items:
                item.copy_schedule(cancelled)
            tx.promotions.save_products(items)
        before, _ = _observe(store, seller, (tea, cup), NOW)
        assert before.stock_until.tolist() == [microseconds(ENDS), -1, -1]
        assert before.next_promotion.tolist() == [microseconds(STARTS), microseconds(STARTS), -1]
        assert before.promoted_from.tolist() == before.promoted_until.tolist() == [-1, -1, -1]
        advance(store, STARTS + SECOND)
        # The former prices are not restored yet.
        overdue, _ = _observe(store, seller, (tea, cup), ENDS + SECOND)
        assert (overdue.promoted_until > microseconds(ENDS + SECOND)).tolist() == [True, True, False]
        advance(store, ENDS + SECOND)
        announce(store, seller, pot, starts_at=ENDS + 3 * DAY, ends_at=ENDS + 4 * DAY)
        after, past = _observe(store, seller, (tea, cup), ENDS + DAY)
        assert after.promoted_from.tolist() == [microseconds(STARTS), microseconds(STARTS), -1]
        assert after.promoted_until.tolist() == [microseconds(ENDS), microseconds(ENDS), -1]
        assert after.next_promotion.tolist() == [-1, microseconds(ENDS + 3 * DAY), -1]
        assert past.product.tolist() == [tea] * 3 + [pot] * 3
        assert past.is_promoted.tolist() == [False, True, False] * 2
        assert past.is_manual.tolist() == [False] * 6


def _observe(
    store: Store, seller: AccountId, products: tuple[ProductId, ProductId], now: datetime
) -> tuple[Facts, PriceIntervals]:
    with store.begin() as tx:
        policy = PricingPolicy.from_document({"name": "P"}, id=PolicyId(1), seller_id=seller, created_at=NOW)
        facts = tx.runs.facts(policy_scope(policy, [policy]), *products, now)
        return facts, tx.runs.price_intervals(*products, NOW - 60 * DAY, counted_after=NOW)


class PromotionListsContract:
    def test_promotions_are_listed_newest_first(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        seller, other = stage.account(), stage.account()
        tea, pot = stage.product(seller), stage.product(other)
        first, foreign = announce(store, seller, tea), announce(store, other, pot)
        second = announce(store, seller, starts_at=ENDS, ends_at=ENDS + DAY)
        assert queries.promotions(seller, PageRequest()).rows == (second, first)
        assert queries.promotions(None, PageRequest()).rows == (second, foreign, first)
        page = queries.promotions(seller, PageRequest(1))
        assert queries.promotions(seller, PageRequest(1, after=page.next)).rows == (first,)
        assert queries.promotion(first.id) == first
        assert queries.promotion(PromotionId(second.id + 1)) is None

    def test_products_of_a_promotion_are_listed_by_id(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        seller = stage.account()
        ids = [stage.product(seller) for _ in range(3)]
        promotion = announce(store, seller, *ids)
        page = queries.promoted_products(promotion.id, PageRequest(2))
        assert [item.product_id for item in page.rows] == ids[:2]
        rest = queries.promoted_products(promotion.id, PageRequest(2, after=page.next))
        assert [item.product_id for item in rest.rows] == ids[2:]

    def test_a_product_shows_the_promotion_that_is_in_force(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        seller = stage.account()
        tea, pot = stage.product(seller, price=10_00, at=NOW - 60 * DAY), stage.product(seller)
        announce(store, seller, tea)
        assert queries.products([tea])[tea].promotion is None
        advance(store, STARTS + SECOND)
        view = queries.products([tea])[tea]
        assert view.promotion == RunningPromotion("Sale", STARTS, ENDS, usd(10_00))
        assert view.price == usd(8_00)
        assert queries.snapshot([tea, pot])[1] == queries.products([tea, pot])
        assert queries.products([pot])[pot].promotion is None
        advance(store, ENDS)
        view = queries.products([tea])[tea]
        assert (view.promotion, view.price) == (None, usd(10_00))

    def test_the_prior_price_of_a_promotion_is_that_of_its_start(self, store: Store, queries: Queries) -> None:
        stage = Stage(store)
        seller = stage.account()
        product = stage.product(seller, price=10_00, at=NOW - 60 * DAY)
        announce(store, seller, product)
        advance(store, STARTS + SECOND)
        stage.reprice(product, 7_00, STARTS + DAY)
        history = queries.price_history(product, STARTS + 2 * DAY)
        assert history is not None
        assert history.reduction is not None
        assert (history.reduction.prior_price, history.reduction.applied_at) == (usd(10_00), STARTS)
        assert [interval.cause for interval in history.intervals] == [
            PriceCause.MANUAL, PriceCause.PROMOTION, PriceCause.LISTED,
        ]  # fmt: skip
        # The seller's own price stays at the end, and is judged by the 30 days before it.
        advance(store, ENDS)
        history = queries.price_history(product, ENDS + DAY)
        assert history is not None
        assert history.reduction is not None
        assert (history.reduction.prior_price, history.reduction.applied_at) == (usd(8_00), STARTS + DAY)
