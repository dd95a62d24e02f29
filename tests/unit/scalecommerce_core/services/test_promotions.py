"""Announce, edit and cancel promotions; their prices in force and out of force."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from scalecommerce_core.domain.account import Account
from scalecommerce_core.domain.errors import Invalid, NotFound, VersionMismatch
from scalecommerce_core.domain.identifiers import AccountId, CategoryId, ProductId, PromotionId
from scalecommerce_core.domain.product import PriceCause
from scalecommerce_core.domain.promotion import (
    MAX_AHEAD,
    MAX_DURATION,
    PromotedProduct,
    Promotion,
    PromotionNote,
    PromotionOver,
    PromotionsOverlap,
    PromotionStatus,
)
from scalecommerce_core.queries import PageRequest
from scalecommerce_core.services.catalog import WithdrawPrice, WithdrawProduct
from scalecommerce_core.services.promotions import (
    MAX_OPEN_PROMOTIONS,
    CancelPromotion,
    CreatePromotion,
    EditPromotion,
    TooManyPromotions,
)
from scalecommerce_core.services.results import unwrap_single
from tests.unit.support.shop import CATEGORY, Shop, usd

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
Announce = Callable[..., Promotion]


@pytest.fixture
def announce(shop: Shop, seller: Account) -> Announce:
    """Announce a promotion from tomorrow to the day after, of all products at 20 % off unless a test differs."""

    def announce(**fields: Any) -> Promotion:
        now = shop.clock.now()
        usual: dict[str, Any] = {"name": "Sale", "starts_at": now + DAY, "ends_at": now + 2 * DAY, "percent": 20}
        if not fields.keys() & {"products", "category_id"}:
            usual["all_products"] = True
        return unwrap_single(shop.market.promotions.create([CreatePromotion(seller.id, **usual | fields)]))

    return announce


def sweep(shop: Shop) -> None:
    while shop.market.promotions.sweep(3):
        pass


def edit(shop: Shop, promotion: Promotion, **changes: Any) -> Promotion:
    return unwrap_single(shop.market.promotions.edit([EditPromotion(promotion.id, promotion.seller_id, changes)]))


def cancel(shop: Shop, promotion: Promotion) -> Promotion:
    return unwrap_single(shop.market.promotions.cancel([CancelPromotion(promotion.id, promotion.seller_id)]))


def item_of(shop: Shop, promotion: Promotion, product: ProductId) -> PromotedProduct:
    rows = shop.queries.promoted_products(promotion.id, PageRequest()).rows
    return next(item for item in rows if item.product_id == product)


def status(shop: Shop, promotion: Promotion) -> PromotionStatus:
    found = shop.queries.promotion(promotion.id)
    assert found is not None
    return found.status


# --- prices


def test_a_promotion_sets_its_prices_and_restores_the_former_ones(
    shop: Shop, seller: Account, announce: Announce
) -> None:
    ids = [shop.list(seller, price) for price in ("10.00", "9.99", "20.00", "5.00", "1.00")]
    shop.clock.advance(days=40)
    promotion = announce(products={**dict.fromkeys(ids[:4]), ids[4]: usd("0.50")})
    sweep(shop)
    assert [str(shop.product(each).price) for each in ids] == [
        "10.00 USD", "9.99 USD", "20.00 USD", "5.00 USD", "1.00 USD",
    ]  # fmt: skip
    shop.clock.advance(days=1)
    sweep(shop)
    assert [shop.product(each).price for each in ids] == [
        usd(each) for each in ("8.00", "7.99", "16.00", "4.00", "0.50")
    ]
    assert status(shop, promotion) is PromotionStatus.RUNNING
    shop.clock.advance(days=1)
    sweep(shop)
    assert [shop.product(each).price for each in ids] == [
        usd(each) for each in ("10.00", "9.99", "20.00", "5.00", "1.00")
    ]
    assert status(shop, promotion) is PromotionStatus.ENDED
    history = shop.queries.price_history(ids[0], shop.clock.now())
    assert history is not None
    assert [each.cause for each in history.intervals] == [
        PriceCause.PROMOTION_END, PriceCause.PROMOTION, PriceCause.LISTED,
    ]  # fmt: skip
    assert history.reduction is None
    causes = [event.payload()["cause"] for event in shop.tables.events.rows if event.topic == "price.changed"]
    assert causes == ["promotion"] * 5 + ["promotion_end"] * 5


def test_a_promotion_without_price_only_marks_the_time(shop: Shop, seller: Account, announce: Announce) -> None:
    tea = shop.list(seller)
    promotion = announce(percent=None, starts_at=None)
    sweep(shop)
    view = shop.queries.products([tea])[tea]
    assert (view.price, view.promotion is not None) == (usd("10.00"), True)
    assert item_of(shop, promotion, tea).promoted_price is None
    shop.clock.advance(days=2)
    sweep(shop)
    assert shop.queries.products([tea])[tea].promotion is None
    assert shop.product(tea).price == usd("10.00")


def test_the_percentage_refers_to_the_prior_price(shop: Shop, seller: Account, announce: Announce) -> None:
    tea = shop.list(seller, "10.00")
    shop.clock.advance(days=40)
    shop.edit(tea, price=usd("12.00"))
    promotion = announce(starts_at=None, ends_at=shop.clock.now() + DAY)
    sweep(shop)
    assert shop.product(tea).price == usd("8.00")
    assert item_of(shop, promotion, tea).prior_price == usd("10.00")
    view = shop.queries.products([tea])[tea]
    assert view.promotion is not None
    assert view.promotion.prior_price == usd("10.00")


def test_a_price_that_the_seller_changed_meanwhile_stays(shop: Shop, seller: Account, announce: Announce) -> None:
    changed, same_again, withdrawn, gone = (shop.list(seller) for _ in range(4))
    announce(starts_at=None)
    sweep(shop)
    shop.edit(changed, price=usd("6.00"))
    shop.edit(same_again, price=usd("7.00"))
    shop.edit(same_again, price=usd("8.00"))
    unwrap_single(shop.catalog.withdraw_prices([WithdrawPrice(withdrawn, seller.id, usd("8.00"), "A mistake")]))
    unwrap_single(shop.catalog.withdraw_products([WithdrawProduct(gone, seller.id)]))
    shop.clock.advance(days=2)
    sweep(shop)
    assert [shop.product(each).price for each in (changed, same_again, withdrawn, gone)] == [
        usd(each) for each in ("6.00", "8.00", "10.00", "8.00")
    ]


def test_the_prior_price_of_further_reductions_is_that_of_the_start(
    shop: Shop, seller: Account, announce: Announce
) -> None:
    tea = shop.list(seller)
    shop.clock.advance(days=40)
    announce(ends_at=shop.clock.now() + 50 * DAY)
    shop.clock.advance(days=1)
    starts_at = shop.clock.now()
    shop.clock.advance(seconds=2)
    sweep(shop)
    shop.clock.advance(days=45)
    shop.edit(tea, price=usd("7.00"))
    history = shop.queries.price_history(tea, shop.clock.now())
    assert history is not None
    assert history.reduction is not None
    assert history.reduction.prior_price == usd("10.00")
    assert history.reduction.applied_at == history.reduction.first_applied_at == starts_at
    assert history.lowest_price_30d == usd("8.00"), "for countries without progressive reductions"


def test_a_following_promotion_sees_the_promotional_price(shop: Shop, seller: Account, announce: Announce) -> None:
    tea = shop.list(seller)
    first = announce()
    second = announce(starts_at=first.ends_at, ends_at=first.ends_at + DAY, percent=10)
    for _ in range(2):
        shop.clock.advance(days=1)
        sweep(shop)
    assert item_of(shop, second, tea).prior_price == usd("8.00")
    assert shop.product(tea).price == usd("7.20")
    shop.clock.advance(days=1)
    sweep(shop)
    assert shop.product(tea).price == usd("10.00")


@pytest.mark.parametrize(
    ("change", "note"),
    [
        ({"price": usd("4.00")}, PromotionNote.NOT_LOWER),
        ({"min_price": usd("8.50")}, PromotionNote.BELOW_MIN_PRICE),
    ],
)
def test_a_price_that_does_not_fit_at_the_start_is_not_set(
    change: dict[str, Any], note: PromotionNote, shop: Shop, seller: Account, announce: Announce
) -> None:
    tea = shop.list(seller)
    promotion = announce(products={tea: usd("8.00")})
    before = shop.edit(tea, **change).price
    shop.clock.advance(days=1)
    sweep(shop)
    assert (shop.product(tea).price, item_of(shop, promotion, tea).note) == (before, note)
    shop.clock.advance(days=1)
    sweep(shop)
    assert shop.product(tea).price == before


def test_a_promotion_that_no_worker_started_in_time_is_missed(shop: Shop, seller: Account, announce: Announce) -> None:
    tea, gone = shop.list(seller), shop.list(seller)
    promotion = announce()
    unwrap_single(shop.catalog.withdraw_products([WithdrawProduct(gone, seller.id)]))
    shop.clock.advance(days=3)
    sweep(shop)
    assert (shop.product(tea).price, item_of(shop, promotion, tea).note) == (usd("10.00"), PromotionNote.MISSED)
    assert [event.topic for event in shop.tables.events.rows][-2:] == ["promotion.started", "promotion.ended"]


def test_withdrawn_products_leave_a_promotion(shop: Shop, seller: Account, announce: Announce) -> None:
    tea, gone = shop.list(seller), shop.list(seller)
    promotion = announce()
    unwrap_single(shop.catalog.withdraw_products([WithdrawProduct(gone, seller.id)]))
    shop.clock.advance(days=1)
    sweep(shop)
    found = item_of(shop, promotion, gone)
    assert (found.status, found.note) == (PromotionStatus.ENDED, PromotionNote.WITHDRAWN)
    assert shop.product(tea).price == usd("8.00")


# --- products of a promotion


def test_products_are_chosen_by_id_category_or_all(shop: Shop, seller: Account, announce: Announce) -> None:
    tea, book = shop.list(seller), shop.list(seller, category_id=CategoryId(2))
    shop.list(shop.person("other"))
    now = shop.clock.now()
    by_category = announce(category_id=CategoryId(2))
    everything = announce(starts_at=now + 3 * DAY, ends_at=now + 4 * DAY)
    by_id = announce(products={tea: None})
    found = [
        [item.product_id for item in shop.queries.promoted_products(each.id, PageRequest()).rows]
        for each in (by_category, everything, by_id)
    ]
    assert found == [[book], [tea, book], [tea]]
    assert [each.products for each in (by_category, everything, by_id)] == [1, 2, 1]
    assert (by_category.category_id, everything.is_all, by_id.is_all) == (2, True, False)


def test_products_of_other_sellers_cannot_be_promoted(shop: Shop, announce: Announce) -> None:
    foreign = shop.list(shop.person("other"))
    for product in (foreign, ProductId(10**12)):
        with pytest.raises(Invalid, match=f"Product {product}: You have no product with this id"):
            announce(products={product: None})


def test_a_product_is_in_one_promotion_at_a_time(shop: Shop, seller: Account, announce: Announce) -> None:
    tea, now = shop.list(seller), shop.clock.now()
    first = announce()
    with pytest.raises(PromotionsOverlap, match=f"promotion {first.id} contains product {tea}"):
        announce(starts_at=first.ends_at - HOUR, ends_at=first.ends_at + DAY)
    before = announce(starts_at=now + HOUR, ends_at=first.starts_at)
    after = announce(starts_at=first.ends_at, ends_at=first.ends_at + DAY)
    with pytest.raises(PromotionsOverlap):
        edit(shop, before, ends_at=first.starts_at + HOUR)
    with pytest.raises(PromotionsOverlap):
        edit(shop, after, starts_at=first.ends_at - HOUR)
    cancel(shop, first)
    assert edit(shop, after, starts_at=now + 2 * DAY - HOUR).version == 2


# --- validation


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"name": " "}, ["name"]),
        ({"starts_at": -HOUR}, ["starts_at"]),
        ({"starts_at": MAX_AHEAD + HOUR, "ends_at": MAX_AHEAD + DAY}, ["starts_at"]),
        ({"ends_at": HOUR}, ["ends_at"]),
        ({"ends_at": DAY}, ["ends_at"]),
        ({"ends_at": DAY + MAX_DURATION + HOUR}, ["ends_at"]),
        ({"starts_at": None, "ends_at": timedelta(0)}, ["ends_at"]),
        ({"percent": 0}, ["percent"]),
        ({"percent": 91}, ["percent"]),
        ({"category_id": CategoryId(999)}, ["category_id"]),
        ({"category_id": CategoryId(3)}, ["products"]),
        ({"category_id": CATEGORY, "all_products": True}, ["products"]),
        ({"products": {}}, ["products"]),
    ],
)
def test_an_invalid_promotion_names_the_fields(
    fields: dict[str, Any], names: list[str], shop: Shop, seller: Account, announce: Announce
) -> None:
    shop.list(seller)
    moments = {n: shop.clock.now() + each for n, each in fields.items() if isinstance(each, timedelta)}
    with pytest.raises(Invalid) as caught:
        announce(**fields | moments)
    assert sorted(caught.value.errors) == names
    assert shop.queries.promotions(None, PageRequest()).rows == ()


@pytest.mark.parametrize("price", ["10.00", "11.00", "4.99"])
def test_a_promotional_price_lies_below_the_price_and_not_below_the_lowest(
    price: str, shop: Shop, seller: Account, announce: Announce
) -> None:
    tea = shop.list(seller, min_price=usd("5.00"))
    with pytest.raises(Invalid, match=f"Product {tea}"):
        announce(products={tea: usd(price)})
    assert announce(products={tea: usd("5.00")}).products == 1


def test_a_percentage_below_the_lowest_price_names_the_products(
    shop: Shop, seller: Account, announce: Announce
) -> None:
    products = [shop.list(seller, min_price=usd("9.00")) for _ in range(25)]
    with pytest.raises(Invalid) as caught:
        announce()
    (said,) = caught.value.errors.values()
    assert said[0].startswith(f"Product {products[0]}: The promotional price of 8.00 USD would be below")
    assert (len(said), said[-1]) == (21, "5 more products have such errors.")


def test_a_seller_has_so_many_open_promotions_at_most(shop: Shop, seller: Account, announce: Announce) -> None:
    shop.list(seller)
    now = shop.clock.now()
    for hour in range(MAX_OPEN_PROMOTIONS):
        announce(starts_at=now + hour * HOUR, ends_at=now + (hour + 1) * HOUR)
    with pytest.raises(TooManyPromotions):
        announce(starts_at=now + 200 * HOUR, ends_at=now + 201 * HOUR)


# --- edits


def test_a_running_promotion_is_ended_early_or_extended(shop: Shop, seller: Account, announce: Announce) -> None:
    tea = shop.list(seller)
    promotion = announce()
    shop.clock.advance(days=1)
    sweep(shop)
    with pytest.raises(Invalid) as caught:
        edit(shop, promotion, starts_at=shop.clock.now() + HOUR)
    assert list(caught.value.errors) == ["starts_at"]
    edit(shop, promotion, ends_at=promotion.ends_at + DAY, name="Long sale")
    shop.clock.advance(days=1)
    sweep(shop)
    view = shop.queries.products([tea])[tea]
    assert view.promotion is not None
    assert (view.price, view.promotion.name) == (usd("8.00"), "Long sale")
    ended = edit(shop, promotion, ends_at=shop.clock.now() - HOUR)
    assert ended.ends_at == shop.clock.now()
    sweep(shop)
    assert (shop.product(tea).price, status(shop, promotion)) == (usd("10.00"), PromotionStatus.ENDED)
    with pytest.raises(PromotionOver):
        edit(shop, promotion, name="Again")


def test_a_promotion_is_moved_before_it_starts(shop: Shop, seller: Account, announce: Announce) -> None:
    tea = shop.list(seller)
    promotion = announce()
    moved = edit(shop, promotion, starts_at=promotion.starts_at + DAY, ends_at=promotion.ends_at + DAY)
    assert moved.version == 2
    assert edit(shop, promotion, starts_at=moved.starts_at).version == 2, "an equal value is no edit"
    for wrong in ({"starts_at": shop.clock.now() - HOUR}, {"ends_at": moved.starts_at}, {"name": ""}):
        with pytest.raises(Invalid):
            edit(shop, promotion, **wrong)
    shop.clock.advance(days=1)
    sweep(shop)
    assert shop.product(tea).price == usd("10.00")
    shop.clock.advance(days=1)
    sweep(shop)
    assert shop.product(tea).price == usd("8.00")


def test_a_promotion_is_cancelled_before_or_after_its_start(shop: Shop, seller: Account, announce: Announce) -> None:
    tea = shop.list(seller)
    early = announce()
    assert cancel(shop, early).status is PromotionStatus.CANCELLED
    assert cancel(shop, early).version == 2
    late = announce()
    shop.clock.advance(days=1)
    sweep(shop)
    assert status(shop, early) is PromotionStatus.CANCELLED
    assert shop.product(tea).price == usd("8.00")
    cancel(shop, late)
    sweep(shop)
    assert (shop.product(tea).price, status(shop, late)) == (usd("10.00"), PromotionStatus.ENDED)
    assert announce(starts_at=None).products == 1, "the time is free again"


def test_the_seller_staff_and_operators_change_a_promotion(shop: Shop, seller: Account, announce: Announce) -> None:
    shop.list(seller)
    promotion, other = announce(), shop.person("other")
    outcomes = shop.market.promotions.edit(
        [
            EditPromotion(promotion.id, other.id, {"name": "Theirs"}),
            EditPromotion(promotion.id, seller.id, {"name": "Mine"}, expected_version=7),
            EditPromotion(promotion.id, other.id, {"name": "By staff"}, expected_version=1, as_staff=True),
            EditPromotion(PromotionId(10**6), seller.id, {"name": "Lost"}),
        ]
    )
    assert [type(each) for each in outcomes] == [NotFound, VersionMismatch, Promotion, NotFound]
    assert isinstance(shop.market.promotions.cancel([CancelPromotion(promotion.id, None)])[0], Promotion)
    lost = CreatePromotion(AccountId(10**6), "X", shop.clock.now() + DAY, all_products=True)
    assert isinstance(shop.market.promotions.create([lost])[0], Invalid)


# --- the start of products, which the sweep processes apart from that of their promotion


def start_products(shop: Shop, ahead: timedelta) -> None:
    """Start the due products alone, by a clock that is `ahead`, as a sweep does while their promotion is locked."""
    now = shop.clock.now() + ahead
    with shop.market.store.begin() as tx:
        for item in (items := tx.promotions.claim_due_products(now, 100)):
            product = tx.products.lock([item.product_id])[item.product_id]
            item.advance(product, product.price_changes, now)
            tx.products.save([product])
        tx.promotions.save_products(items)


def test_cancelling_a_promotion_restores_products_that_were_started_before_it(
    shop: Shop, seller: Account, announce: Announce
) -> None:
    product, promotion = shop.list(seller), announce()
    shop.clock.advance(days=1, seconds=-1)
    start_products(shop, timedelta(seconds=1))
    assert shop.product(product).price == usd("8.00")
    assert cancel(shop, promotion).status is PromotionStatus.RUNNING
    shop.clock.advance(seconds=1)
    sweep(shop)
    assert shop.product(product).price == usd("10.00")
    assert item_of(shop, promotion, product).status is PromotionStatus.ENDED
    assert status(shop, promotion) is PromotionStatus.ENDED


def test_the_start_cannot_be_moved_once_products_were_started(shop: Shop, seller: Account, announce: Announce) -> None:
    product, promotion = shop.list(seller), announce()
    shop.clock.advance(days=1, seconds=-1)
    start_products(shop, timedelta(seconds=1))
    with pytest.raises(Invalid, match="has started"):
        edit(shop, promotion, starts_at=promotion.starts_at + HOUR)
    assert item_of(shop, promotion, product).starts_at == promotion.starts_at


def test_times_need_an_offset(shop: Shop, seller: Account, announce: Announce) -> None:
    shop.list(seller)
    naive = {name: shop.clock.now().replace(tzinfo=None) + DAY for name in ("starts_at", "ends_at")}
    with pytest.raises(Invalid) as refused:
        announce(**naive)
    assert refused.value.errors.keys() == naive.keys()
    promotion = announce()
    for name, moment in naive.items():
        with pytest.raises(Invalid) as refused:
            edit(shop, promotion, **{name: moment})
        assert refused.value.errors.keys() == {name}
