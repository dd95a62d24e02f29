"""Events: immutable facts that aggregates record. The store saves them with the aggregate."""

from datetime import datetime
from types import NoneType
from typing import Any, ClassVar, Final

from attrs import asdict, fields, frozen, has

from scalecommerce_core.domain.identifiers import AccountId, OrderId, ProductId, PromotionId


@frozen(kw_only=True)
class Event:
    """A fact about an aggregate at the time `at`. `topic` is the name of its kind for consumers."""

    topic: ClassVar[str]
    at: datetime

    @property
    def audience(self) -> tuple[AccountId, ...]:
        """The accounts whose feeds show the event, each once."""
        return ()

    def payload(self) -> dict[str, Any]:
        """The fields to store besides `at`, as JSON types: all that cannot be read elsewhere."""
        return {name: _plain(getattr(self, name)) for name in _facts(type(self))}


# Bulk loads record an event for each product, so field names are cached; `attrs.asdict` inspects every value and is
# slower.
_FACTS: dict[str, tuple[str, ...]] = {}


def _facts(kind: type[Event]) -> tuple[str, ...]:
    names = _FACTS.get(kind.topic)
    if names is None:
        names = _FACTS[kind.topic] = tuple(attribute.name for attribute in fields(kind) if attribute.name != "at")
    return names


# A tuple, because `isinstance` with a union takes three times as long.
_SCALARS: Final = (int, str, NoneType)


def _plain(value: Any) -> Any:
    if isinstance(value, _SCALARS):
        return value
    if isinstance(value, (tuple, list)):
        return [item if isinstance(item, _SCALARS) else _plain(item) for item in value]
    return asdict(value) if has(type(value)) else value


@frozen(kw_only=True)
class ProductEvent(Event):
    """An event of a product; its audience is the seller."""

    product_id: ProductId
    seller_id: AccountId

    @property
    def audience(self) -> tuple[AccountId, ...]:
        return (self.seller_id,)


@frozen(kw_only=True)
class ProductListed(ProductEvent):
    """A product was created."""

    topic = "product.listed"


@frozen(kw_only=True)
class ProductEdited(ProductEvent):
    """Fields of a product other than its price changed."""

    topic = "product.edited"


@frozen(kw_only=True)
class ProductWithdrawn(ProductEvent):
    """A product was removed from the catalog."""

    topic = "product.withdrawn"


@frozen(kw_only=True)
class PriceChanged(ProductEvent):
    """The price of a product changed from `old` to `new`, in minor units of `currency`."""

    topic = "price.changed"
    old: int
    new: int
    currency: str
    cause: str


@frozen(kw_only=True)
class StockRanOut(ProductEvent):
    """A product has no available units any more, or had none when it was created."""

    topic = "stock.ran_out"


@frozen(kw_only=True)
class StockReturned(ProductEvent):
    """A product has available units again."""

    topic = "stock.returned"


@frozen(kw_only=True)
class OrderEvent(Event):
    """An event of an order; its audience is the buyer and the sellers.

    Only the id of the order is stored: buyer and sellers never change, and the topic implies the status.
    `event_visibility` adds them when events are read.
    """

    order_id: OrderId
    buyer_id: AccountId
    seller_ids: tuple[AccountId, ...]
    status: str

    @property
    def audience(self) -> tuple[AccountId, ...]:
        return tuple(dict.fromkeys((self.buyer_id, *self.seller_ids)))

    def payload(self) -> dict[str, Any]:
        return {"order_id": self.order_id}


@frozen(kw_only=True)
class OrderPlaced(OrderEvent):
    """An order was accepted; its audience is the buyer only, because sellers see orders from the decision on."""

    topic = "order.placed"

    @property
    def audience(self) -> tuple[AccountId, ...]:
        return (self.buyer_id,)


@frozen(kw_only=True)
class OrderReserved(OrderEvent):
    """Background validation reserved the stock of an order."""

    topic = "order.reserved"


@frozen(kw_only=True)
class OrderRejected(OrderEvent):
    """Background validation rejected an order, because stock did not suffice."""

    topic = "order.rejected"


@frozen(kw_only=True)
class OrderPaid(OrderEvent):
    """An order was paid."""

    topic = "order.paid"


@frozen(kw_only=True)
class OrderCancelled(OrderEvent):
    """The buyer cancelled an order."""

    topic = "order.cancelled"


@frozen(kw_only=True)
class OrderExpired(OrderEvent):
    """An order was not paid in time."""

    topic = "order.expired"


@frozen(kw_only=True)
class RefundedUnits:
    """Refunded units of a product; `amount` in minor units of the order's currency."""

    product_id: ProductId
    seller_id: AccountId
    quantity: int
    amount: int


@frozen(kw_only=True)
class OrderRefunded(OrderEvent):
    """Units of an order were refunded; `seller_ids` holds the sellers of the refunded units only."""

    topic = "order.refunded"
    refunds: tuple[RefundedUnits, ...]

    def payload(self) -> dict[str, Any]:
        return Event.payload(self)


@frozen(kw_only=True)
class PromotionEvent(Event):
    """An event of a promotion; its audience is the seller. Times are in ISO 8601."""

    promotion_id: PromotionId
    seller_id: AccountId
    name: str
    starts_at: str
    ends_at: str

    @property
    def audience(self) -> tuple[AccountId, ...]:
        return (self.seller_id,)


@frozen(kw_only=True)
class PromotionStarted(PromotionEvent):
    """A promotion has started."""

    topic = "promotion.started"


@frozen(kw_only=True)
class PromotionEnded(PromotionEvent):
    """A promotion has ended."""

    topic = "promotion.ended"
