"""Loading the product of a request with a check that the caller may see it."""

from typing import Any

from adapters.http.dependencies import Dependencies
from adapters.http.framework.operation import Call
from adapters.http.schemas.products import may_see_private_fields
from scalecommerce_core.domain.errors import NotFound
from scalecommerce_core.domain.identifiers import ProductId
from scalecommerce_core.queries import ProductView


async def load_visible_product(dependencies: Dependencies, call: Call[Any, Any]) -> ProductView:
    """Load the product `call.id`; raise `NotFound` for an inactive one, except for its seller and staff."""
    view = await dependencies.load_product.submit(ProductId(call.id))
    if not view.is_active and not may_see_private_fields(view, call.optional_identity):
        raise NotFound("product", call.id)
    return view


async def load_own_product(dependencies: Dependencies, call: Call[Any, Any]) -> ProductView:
    """Load the product `call.id`; raise `NotFound` unless the caller is its seller or staff."""
    view = await dependencies.load_product.submit(ProductId(call.id))
    if not may_see_private_fields(view, call.identity):
        raise NotFound("product", call.id)
    return view
