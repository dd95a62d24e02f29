"""Examples of all operations by name. The requests succeed on a fresh demo market in document order."""

from collections.abc import Mapping
from typing import Final

from adapters.http.examples import audit, back_office, messages, orders, pricing, products, users
from adapters.http.framework.example import Example

EXAMPLES: Final[Mapping[str, Example]] = {
    **users.EXAMPLES,
    **products.EXAMPLES,
    **orders.EXAMPLES,
    **pricing.EXAMPLES,
    **messages.EXAMPLES,
    **back_office.EXAMPLES,
    **audit.EXAMPLES,
}
