"""Payment gateways by the names that `PAYMENT_GATEWAY` may have: the sandbox, and those of installed packages.

A package of yours offers one in the entry point group `scalecommerce.payment_gateways`: a name, and a callable
without arguments that makes a `ports.PaymentGateway`.
"""

from importlib.metadata import entry_points
from typing import Final

from sqlalchemy import Engine

from adapters.payments.sandbox import SandboxGateway
from scalecommerce_core.ports import PaymentGateway

GROUP: Final = "scalecommerce.payment_gateways"
SANDBOX: Final = "sandbox"


def known_gateways() -> list[str]:
    return [SANDBOX, *sorted(entry_points(group=GROUP).names - {SANDBOX})]


def create_payment_gateway(name: str, database: Engine) -> PaymentGateway:
    """One of `known_gateways`."""
    if name == SANDBOX:
        return SandboxGateway(database)
    made: PaymentGateway = entry_points(group=GROUP)[name].load()()
    return made
