"""Payment gateways by the names that `PAYMENT_GATEWAY` accepts: the sandbox, and those of installed packages.

A package offers a gateway in the entry point group `scalecommerce.payment_gateways`: a name, and a callable without
arguments that returns a `ports.PaymentGateway`.
"""

from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    # Every process checks the name of its gateway; the ports import numpy.
    from scalecommerce_core.ports import PaymentGateway

GROUP: Final = "scalecommerce.payment_gateways"
SANDBOX: Final = "sandbox"


def known_gateways() -> list[str]:
    """Return the names of all gateways that can be chosen, the sandbox first."""
    return [SANDBOX, *sorted(entry_points(group=GROUP).names - {SANDBOX})]


def load_payment_gateway(name: str) -> "PaymentGateway":
    """Create the gateway that an installed package offers under this name."""
    gateway: PaymentGateway = entry_points(group=GROUP)[name].load()()
    return gateway
