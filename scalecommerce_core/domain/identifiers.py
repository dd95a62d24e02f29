"""Types of the whole numbers, UUIDs and texts that identify things."""

from typing import NewType
from uuid import UUID

AccountId = NewType("AccountId", int)
CategoryId = NewType("CategoryId", int)
ProductId = NewType("ProductId", int)
OrderId = NewType("OrderId", int)
PolicyId = NewType("PolicyId", int)
RunId = NewType("RunId", int)
PromotionId = NewType("PromotionId", int)
ExperimentId = NewType("ExperimentId", int)
EndpointId = NewType("EndpointId", int)
DeliveryId = NewType("DeliveryId", int)
EmailId = NewType("EmailId", int)
ApiKeyId = NewType("ApiKeyId", int)
AuditId = NewType("AuditId", int)

CommandId = NewType("CommandId", UUID)
"""The caller makes it before the first attempt, so that a retry after a lost response has no second effect."""

PaymentId = NewType("PaymentId", UUID)
"""Made before the first request to the gateway; also the idempotency key of the charge there."""

RefundId = NewType("RefundId", UUID)
"""Identifies money to be sent back through the gateway; also the idempotency key of the refund there."""

SessionId = NewType("SessionId", str)
"""Identifies a log-in session, the family of its refresh tokens."""
