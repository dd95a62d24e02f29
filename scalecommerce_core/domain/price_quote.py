"""Price quotes: a price that was shown to one buyer, as a signed text that the buyer sends with an order."""

from datetime import datetime

from attrs import frozen

from scalecommerce_core.domain.identifiers import AccountId, ProductId


@frozen
class PriceQuote:
    """The buyer was shown the unit `price`, in minor units of `currency`, for at most `quantity` units.

    `expires_at` has whole seconds.
    """

    product_id: ProductId
    buyer_id: AccountId
    price: int
    currency: str
    quantity: int
    expires_at: datetime
