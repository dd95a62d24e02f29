import itertools
from collections.abc import Callable

import pytest

from scalecommerce_core.domain.account import Account
from scalecommerce_core.domain.errors import Invalid, TransactionAborted
from scalecommerce_core.domain.identifiers import CategoryId, ProductId
from scalecommerce_core.domain.order import RefundLine
from scalecommerce_core.domain.product import PriceCause
from scalecommerce_core.pricing.stock_cover import PricingPolicy, Reason, Signals
from scalecommerce_core.services import pricing
from scalecommerce_core.services.catalog import WithdrawProduct
from scalecommerce_core.services.pricing import AdoptPolicy, Pricing
from tests.unit.core.shop import CATEGORY, Shop, line, usd
from tests.unit.core.tampering import TamperedStore, failing


def adopt(shop: Shop, owner: Account, category_id: CategoryId | None = None, days: int = 30) -> PricingPolicy:
    (policy,) = shop.pricing.adopt([AdoptPolicy(owner.id, "Keep stock", category_id, days)])
    return policy


def sell(shop: Shop, buyer: Account, product_id: ProductId, quantity: int = 10) -> None:
    """A month after the listing, so that a policy may look at it."""
    shop.clock.advance(days=28)
    shop.buy(buyer, line(product_id, quantity))


def causes(shop: Shop, product_id: ProductId) -> list[PriceCause]:
    history = shop.queries.price_history(product_id, shop.clock.now())
    assert history is not None
    return [interval.cause for interval in reversed(history.intervals)]


@pytest.fixture
def tea(shop: Shop, seller: Account, buyer: Account) -> ProductId:
    """10 sold in 28 days, 10 left: its stock lasts 28 days."""
    tea = shop.list(seller, "10.00", 20)
    sell(shop, buyer, tea)
    return tea


def test_a_run_puts_prices_in_force_and_into_the_history(shop: Shop, seller: Account, tea: ProductId) -> None:
    adopt(shop, seller, days=60)
    run = shop.pricing.reprice()
    (move,) = run.moves
    assert (run.looked_at, run.dry_run, move.reason) == (1, False, Reason.COVER_SHORT)
    assert (move.old, move.new, shop.product(tea).price) == (usd("10.00"), usd("10.50"), usd("10.50"))
    assert causes(shop, tea) == [PriceCause.LISTED, PriceCause.POLICY]
    assert shop.tables.events.rows[-1].topic == "price.changed"
    assert shop.product(tea).version == 1


def test_a_dry_run_says_the_same_and_writes_nothing(shop: Shop, seller: Account, tea: ProductId) -> None:
    adopt(shop, seller, days=60)
    events = len(shop.tables.events.rows)
    dry = shop.pricing.reprice(dry_run=True)
    assert dry.dry_run
    assert (shop.product(tea).price, causes(shop, tea)) == (usd("10.00"), [PriceCause.LISTED])
    assert len(shop.tables.events.rows) == events
    assert shop.pricing.reprice().moves == dry.moves


def test_a_second_run_waits(shop: Shop, seller: Account, tea: ProductId) -> None:
    adopt(shop, seller, days=60)
    shop.pricing.reprice()
    shop.clock.advance(days=6)
    assert shop.pricing.reprice().moves == ()
    shop.clock.advance(days=1)
    assert [move.new for move in shop.pricing.reprice().moves] == [usd("11.02")]
    assert causes(shop, tea) == [PriceCause.LISTED, PriceCause.POLICY, PriceCause.POLICY]


@pytest.mark.usefixtures("tea")
def test_without_a_policy_no_price_ever_moves(shop: Shop, buyer: Account) -> None:
    assert shop.pricing.reprice().looked_at == 0
    adopt(shop, buyer, days=60)
    assert shop.pricing.reprice().looked_at == 0


@pytest.mark.parametrize("hide", ["deactivate", "withdraw"])
def test_what_is_not_for_sale_is_not_looked_at(shop: Shop, seller: Account, tea: ProductId, hide: str) -> None:
    adopt(shop, seller, days=60)
    if hide == "withdraw":
        shop.catalog.withdraw_products([WithdrawProduct(tea, seller.id)])
    else:
        shop.edit(tea, is_active=False)
    assert shop.pricing.reprice().looked_at == 0


def test_refunded_units_are_no_sales(shop: Shop, seller: Account, tea: ProductId) -> None:
    adopt(shop, seller, days=60)
    (order,) = shop.tables.orders.all()
    shop.refund(order, seller.id, RefundLine(tea, 6))
    (decision,) = [policy.decide(s, shop.clock.now()) for policy, s in signals(shop)]
    assert decision.reason is Reason.FEW_SALES


def signals(shop: Shop) -> list[tuple[PricingPolicy, Signals]]:
    with shop.store.begin() as tx:
        return [
            (policy, seen)
            for policy in tx.policies.active()
            for seen in tx.policies.signals(policy, shop.clock.now(), after=None, limit=100)
        ]


# --- between reading and writing


def between_read_and_write(shop: Shop, act: Callable[[], object]) -> Pricing:
    """A run reads its policies, its signals, then writes: `act` happens before the third transaction."""
    transactions = itertools.count(1)

    def interfere() -> None:
        if next(transactions) == 3:
            act()

    return Pricing(TamperedStore(shop.store, before=interfere), shop.clock)


def test_a_manual_edit_between_read_and_write_wins(shop: Shop, seller: Account, tea: ProductId) -> None:
    adopt(shop, seller, days=60)
    run = between_read_and_write(shop, lambda: shop.edit(tea, price=usd("42.00"))).reprice()
    assert run.moves == ()
    assert shop.product(tea).price == usd("42.00")
    assert causes(shop, tea) == [PriceCause.LISTED, PriceCause.MANUAL]
    assert shop.pricing.reprice().moves == ()


def test_what_is_withdrawn_between_read_and_write_is_left_alone(shop: Shop, seller: Account, tea: ProductId) -> None:
    adopt(shop, seller, days=60)
    withdraw = WithdrawProduct(tea, seller.id)
    run = between_read_and_write(shop, lambda: shop.catalog.withdraw_products([withdraw])).reprice()
    assert run.moves == ()
    assert shop.product(tea).price == usd("10.00")


def test_an_aborted_batch_is_tried_again(shop: Shop, seller: Account, tea: ProductId) -> None:
    adopt(shop, seller, days=60)
    aborts = failing(None, TransactionAborted(), None, TransactionAborted())
    run = Pricing(TamperedStore(shop.store, before=aborts), shop.clock).reprice()
    assert len(run.moves) == 1
    assert shop.product(tea).price == usd("10.50")


# --- several policies and many products


@pytest.mark.parametrize("last_wants_more", [True, False])
def test_of_two_policies_the_last_one_made_counts(
    shop: Shop, seller: Account, tea: ProductId, last_wants_more: bool
) -> None:
    adopt(shop, seller, days=1 if last_wants_more else 365)
    last = adopt(shop, seller, CATEGORY, days=365 if last_wants_more else 1)
    run = shop.pricing.reprice()
    assert (run.looked_at, len(run.moves)) == (1, 1)
    assert shop.product(tea).price == usd("10.50" if last_wants_more else "9.50")
    assert [policy.id for policy in shop.pricing.policies()][-1] == last.id


def test_a_run_can_be_for_one_policy(shop: Shop, seller: Account, tea: ProductId) -> None:
    first, _ = adopt(shop, seller, days=1), adopt(shop, seller, days=365)
    run = shop.pricing.reprice(only=first.id)
    assert run.looked_at == 1
    assert shop.product(tea).price == usd("9.50")


@pytest.mark.usefixtures("tea")
def test_a_policy_for_a_category_leaves_the_others(shop: Shop, seller: Account) -> None:
    adopt(shop, seller, CategoryId(2), days=60)
    assert shop.pricing.reprice().looked_at == 0


def test_a_run_goes_in_batches_and_tells_its_progress(
    shop: Shop, seller: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pricing, "BATCH", 2)
    for _ in range(5):
        shop.list(seller)
    adopt(shop, seller)
    seen: list[int] = []
    assert shop.pricing.reprice(progress=seen.append).looked_at == 5
    assert seen == [2, 2, 1]


def test_a_policy_that_cannot_be_is_refused(shop: Shop, seller: Account) -> None:
    with pytest.raises(Invalid) as caught:
        adopt(shop, seller, days=0)
    assert list(caught.value.errors) == ["target_cover_days"]
    assert shop.pricing.policies() == []
