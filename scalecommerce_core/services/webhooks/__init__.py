"""Outgoing webhooks: `endpoints` of accounts, `fan_out` from events to deliveries, `delivery` at least once."""

from scalecommerce_core.services.webhooks.common import ActOnEndpoint, WebhookRules
from scalecommerce_core.services.webhooks.delivery import ClaimedDeliveries, Deliveries, DeliverySummary, Redeliver
from scalecommerce_core.services.webhooks.endpoints import (
    CreateEndpoint,
    EditEndpoint,
    Endpoints,
    EndpointWithSecret,
    TooManyEndpoints,
)
from scalecommerce_core.services.webhooks.fan_out import WEBHOOKS_CONSUMER, FanOut, FanOutResult
from scalecommerce_core.services.webhooks.service import Webhooks

__all__ = [
    "WEBHOOKS_CONSUMER",
    "ActOnEndpoint",
    "ClaimedDeliveries",
    "CreateEndpoint",
    "Deliveries",
    "DeliverySummary",
    "EditEndpoint",
    "EndpointWithSecret",
    "Endpoints",
    "FanOut",
    "FanOutResult",
    "Redeliver",
    "TooManyEndpoints",
    "WebhookRules",
    "Webhooks",
]
