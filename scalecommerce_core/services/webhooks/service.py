"""All use cases of webhooks in one class."""

from scalecommerce_core.services.webhooks.delivery import Deliveries
from scalecommerce_core.services.webhooks.endpoints import Endpoints
from scalecommerce_core.services.webhooks.fan_out import FanOut


class Webhooks(Endpoints, FanOut, Deliveries):
    """Manage endpoints, make deliveries of events, and send them."""
