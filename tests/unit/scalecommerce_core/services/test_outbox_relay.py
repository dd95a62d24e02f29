import json
from datetime import timedelta

from attrs import asdict

from scalecommerce_core.domain import events
from scalecommerce_core.domain.account import Account
from scalecommerce_core.domain.event_visibility import STATUSES
from scalecommerce_core.domain.events import Event, OrderEvent, OrderRefunded
from scalecommerce_core.domain.order import RefundLine
from scalecommerce_core.services.catalog import AdjustStock, WithdrawProduct
from scalecommerce_core.services.ordering import CancelOrder
from scalecommerce_core.services.promotions import CancelPromotion, CreatePromotion
from scalecommerce_core.services.results import unwrap_single
from tests.unit.support.shop import Shop, line, usd


def tell_everything(shop: Shop, seller: Account, buyer: Account) -> list[Event]:
    """The events of a marketplace in which each kind of event occurred."""
    tea = shop.list(seller)
    shop.edit(tea, name="Green tea", price=usd("9.00"))
    shop.refund(shop.buy(buyer, line(tea)), seller.id, RefundLine(tea, 1))
    shop.reserve(buyer, line(tea, 99))
    shop.reserve(buyer, line(tea))
    shop.clock.advance(minutes=15)
    shop.ordering.expire()
    shop.ordering.cancel([CancelOrder(shop.place(buyer, line(tea)).id, buyer.id)])
    for units in (0, 2):
        shop.catalog.adjust_stock([AdjustStock(tea, seller.id, available=units)])
    sale = CreatePromotion(seller.id, "Sale", shop.clock.now() + timedelta(hours=1), percent=20, all_products=True)
    promotion = unwrap_single(shop.market.promotions.create([sale]))
    shop.market.promotions.sweep(10)
    shop.market.promotions.cancel([CancelPromotion(promotion.id, seller.id)])
    shop.market.promotions.sweep(10)
    shop.catalog.withdraw_products([WithdrawProduct(tea, seller.id)])
    return shop.tables.events.rows


def test_every_kind_of_event_is_recorded(shop: Shop, seller: Account, buyer: Account) -> None:
    told = {event.topic for event in tell_everything(shop, seller, buyer)}
    kinds = [kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, Event)]
    assert told == {kind.topic for kind in kinds if hasattr(kind, "topic")}


def test_payloads_are_json_and_leave_out_only_what_the_order_has(shop: Shop, seller: Account, buyer: Account) -> None:
    for event in tell_everything(shop, seller, buyer):
        payload = event.payload()
        facts = asdict(event).keys() - {"at"}
        if isinstance(event, OrderEvent) and not isinstance(event, OrderRefunded):
            facts -= {"buyer_id", "seller_ids", "status"}
            assert event.status == STATUSES[event.topic]
        assert json.loads(json.dumps(payload)).keys() == payload.keys() == facts


def test_the_audience_of_each_event_is_buyer_and_sellers_concerned(shop: Shop, seller: Account, buyer: Account) -> None:
    for event in tell_everything(shop, seller, buyer):
        concerned = {buyer.id} if event.topic.startswith("order.") else set()
        if event.topic != "order.placed":
            concerned.add(seller.id)
        assert set(event.audience) == concerned
    assert Event(at=shop.clock.now()).audience == ()
