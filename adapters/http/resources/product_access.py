"""Who sees what of one product, and from where."""

from typing import Any, Final

import msgspec
from starlette.responses import Response

from adapters.http.cache.product_cache import ANONYMOUS_CACHE_CONTROL, AUTHENTICATED_CACHE_CONTROL
from adapters.http.dependencies import Dependencies
from adapters.http.framework.etags import is_current
from adapters.http.framework.operation import Call
from adapters.http.schemas.products import may_see_private_fields, product_etag, to_product_schema
from scalecommerce_core.domain.errors import NotFound
from scalecommerce_core.domain.identifiers import ProductId
from scalecommerce_core.queries import ProductView

# Of answers with what only the seller, and staff, may see.
PRIVATE: Final = "private, no-store"
_ENCODER: Final = msgspec.json.Encoder()


class ProductReaders:
    def __init__(self, dependencies: Dependencies) -> None:
        self._dependencies = dependencies

    async def visible(self, call: Call[Any, Any]) -> ProductView:
        """The product, if the caller may see it: an inactive one is there for its owner and for staff only."""
        view = await self._dependencies.load_product.submit(ProductId(call.id))
        if not view.is_active and not may_see_private_fields(view, call.optional_identity):
            raise NotFound("product", call.id)
        return view

    async def product(self, call: Call[None, None]) -> Response:
        """Of `readProduct`: copies for strangers, the database for sellers and staff."""
        product, identity = ProductId(call.id), call.optional_identity
        copy = None
        if identity is None or not identity.is_staff:
            copy = await self._dependencies.cache.products.get(product)
        if copy is None or (identity is not None and identity.account_id == copy.seller):
            view = await self.visible(call)
            document = to_product_schema(view, identity)
            etag, seller, cache_control = product_etag(view.version, document), view.seller.id, PRIVATE
            body = _ENCODER.encode(document)
        elif copy.body is None:
            raise NotFound("product", call.id)
        else:
            etag, seller = copy.etag, copy.seller
            cache_control = ANONYMOUS_CACHE_CONTROL if identity is None else AUTHENTICATED_CACHE_CONTROL
            body = copy.body
        self._dependencies.view_tracker.record_view(call.request.scope, identity, product, seller)
        headers = {"ETag": etag, "Cache-Control": cache_control}
        if is_current(call.request.headers, etag):
            return Response(status_code=304, headers=headers)
        return Response(body, headers=headers, media_type="application/json")
