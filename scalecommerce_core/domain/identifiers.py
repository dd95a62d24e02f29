"""Names for the whole numbers and UUIDs that identify things."""

from typing import NewType
from uuid import UUID

AccountId = NewType("AccountId", int)
CategoryId = NewType("CategoryId", int)
ProductId = NewType("ProductId", int)
OrderId = NewType("OrderId", int)
PolicyId = NewType("PolicyId", int)
RunId = NewType("RunId", int)
EndpointId = NewType("EndpointId", int)
DeliveryId = NewType("DeliveryId", int)

CommandId = NewType("CommandId", UUID)
"""Made by the caller before the first attempt, so that a retry after a lost reply cannot act twice."""

PaymentId = NewType("PaymentId", UUID)
"""Made before the gateway is asked for the first time; it is the gateway's idempotency key too."""

RefundId = NewType("RefundId", UUID)
"""Of money that is sent back through the gateway: its idempotency key there."""

SessionId = NewType("SessionId", str)
"""One log-in: the family of refresh tokens that descends from it."""
