"""The README's library example, as a test."""

from scalecommerce_core.domain.money import Money
from scalecommerce_core.domain.order import OrderStatus
from scalecommerce_core.services.accounts import SignUp
from scalecommerce_core.services.catalog import ListProduct
from scalecommerce_core.services.ordering import PayOrder, PlaceOrder, WantedLine
from scalecommerce_core.services.outcomes import one
from scalecommerce_core.testing import CountingIds, in_memory_market


def test_an_order_is_placed_decided_and_paid_in_memory() -> None:
    market, ids = in_memory_market(), CountingIds()
    seller = one(market.accounts.sign_up([SignUp("seller@example.com", "a long password")]))
    buyer = one(market.accounts.sign_up([SignUp("buyer@example.com", "a long password")]))
    toys = market.queries.categories()[10]
    tea_pot = ListProduct(seller.id, toys.id, "Tea pot", Money.of("19.90", "USD"), stock=3)
    listed = one(market.catalog.list_products([tea_pot]))
    order = one(market.ordering.place([PlaceOrder(ids.command(), buyer.id, [WantedLine(listed.product.id, 2)])]))
    market.ordering.decide()
    paid = one(market.ordering.pay([PayOrder(order.id, buyer.id)]))
    assert paid.status is OrderStatus.PAID
    assert str(paid.total) == "39.80 USD"
    assert market.queries.products([listed.product.id])[listed.product.id].stock == 1
    assert market.queries.discrepancies() == []
