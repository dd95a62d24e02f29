"""Facts that aggregates record: frozen, made of plain values, saved with the aggregate they come from."""

from datetime import datetime
from typing import Any, ClassVar

from attrs import asdict, fields, frozen, has

from scalecommerce_core.domain.identifiers import AccountId, OrderId, ProductId


@frozen(kw_only=True)
class Event:
    """`topic` names the fact for consumers. The store numbers it when it is saved."""

    topic: ClassVar[str]
    at: datetime

    @property
    def audience(self) -> tuple[AccountId, ...]:
        """The accounts whose feed shows this, each once."""
        return ()

    def payload(self) -> dict[str, Any]:
        """The facts beyond `topic` and `at`, as JSON types."""
        return {name: _plain(getattr(self, name)) for name in _facts(type(self))}


# Two events are made of each order, so this is worth more than `attrs.asdict`, which looks into every value.
_FACTS: dict[str, tuple[str, ...]] = {}


def _facts(kind: type[Event]) -> tuple[str, ...]:
    names = _FACTS.get(kind.topic)
    if names is None:
        names = _FACTS[kind.topic] = tuple(attribute.name for attribute in fields(kind) if attribute.name != "at")
    return names


def _plain(value: Any) -> Any:
    if isinstance(value, int | str | None):
        return value
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return asdict(value) if has(type(value)) else value


@frozen(kw_only=True)
class ProductEvent(Event):
    product_id: ProductId
    seller_id: AccountId

    @property
    def audience(self) -> tuple[AccountId, ...]:
        return (self.seller_id,)


@frozen(kw_only=True)
class ProductListed(ProductEvent):
    topic = "product.listed"


@frozen(kw_only=True)
class ProductEdited(ProductEvent):
    topic = "product.edited"


@frozen(kw_only=True)
class ProductWithdrawn(ProductEvent):
    topic = "product.withdrawn"


@frozen(kw_only=True)
class PriceChanged(ProductEvent):
    """`old` and `new` in minor units of `currency`."""

    topic = "price.changed"
    old: int
    new: int
    currency: str
    cause: str


@frozen(kw_only=True)
class StockRanOut(ProductEvent):
    """Nothing can be promised any more: all units are sold or reserved, or there were none from the start."""

    topic = "stock.ran_out"


@frozen(kw_only=True)
class StockReturned(ProductEvent):
    """Units can be promised again."""

    topic = "stock.returned"


@frozen(kw_only=True)
class OrderEvent(Event):
    order_id: OrderId
    buyer_id: AccountId
    seller_ids: tuple[AccountId, ...]
    status: str

    @property
    def audience(self) -> tuple[AccountId, ...]:
        return tuple(dict.fromkeys((self.buyer_id, *self.seller_ids)))


@frozen(kw_only=True)
class OrderPlaced(OrderEvent):
    """Nobody's sale yet: sellers hear of an order from its verdict on."""

    topic = "order.placed"

    @property
    def audience(self) -> tuple[AccountId, ...]:
        return (self.buyer_id,)


@frozen(kw_only=True)
class OrderReserved(OrderEvent):
    topic = "order.reserved"


@frozen(kw_only=True)
class OrderRejected(OrderEvent):
    topic = "order.rejected"


@frozen(kw_only=True)
class OrderPaid(OrderEvent):
    topic = "order.paid"


@frozen(kw_only=True)
class OrderCancelled(OrderEvent):
    topic = "order.cancelled"


@frozen(kw_only=True)
class OrderExpired(OrderEvent):
    topic = "order.expired"


@frozen(kw_only=True)
class RefundedUnits:
    """`amount` in minor units of the order's currency."""

    product_id: ProductId
    seller_id: AccountId
    quantity: int
    amount: int


@frozen(kw_only=True)
class OrderRefunded(OrderEvent):
    """`seller_ids` are those whose units were given back, and no others: it is none of the rest's business."""

    topic = "order.refunded"
    refunds: tuple[RefundedUnits, ...]
