"""`products/api/v1/{id}/stock/`: stock corrections by the seller."""

from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import UNSET, UnsetType
from starlette.responses import Response

from adapters.http.dependencies import Dependencies
from adapters.http.framework.auth import Access
from adapters.http.framework.idempotency_key import build_idempotency_key, response_body
from adapters.http.framework.operation import Call, OperationSpec, ResponseSpec
from adapters.http.resources.products import PRODUCT, TAG, Units
from scalecommerce_core.domain.api_key import Scope
from scalecommerce_core.domain.errors import Forbidden, Invalid, StockMoved
from scalecommerce_core.domain.identifiers import ProductId
from scalecommerce_core.domain.stock import MAX_STOCK, Stock
from scalecommerce_core.services.catalog import AdjustStock

Delta = Annotated[int, msgspec.Meta(ge=-MAX_STOCK, le=MAX_STOCK, examples=[5])]


class StockBody(msgspec.Struct, omit_defaults=True):
    """Either `delta`, or `set`; with `expected`, `set` applies only if the current stock equals it."""

    schema: ClassVar[dict[str, Any]] = {
        "oneOf": [{"required": ["delta"]}, {"required": ["set"]}],
        "dependentRequired": {"expected": ["set"]},
    }
    delta: Delta | UnsetType = UNSET
    set: Units | UnsetType = UNSET
    expected: Units | UnsetType = UNSET

    def __post_init__(self) -> None:
        if (self.delta is UNSET) == (self.set is UNSET):
            raise Invalid.field("delta", "Give either delta or set.")
        if self.expected is not UNSET and self.set is UNSET:
            raise Invalid.field("expected", "Only set may be combined with expected; a delta needs no expected stock.")


class StockSchema(msgspec.Struct):
    """`stock` is the available stock: units on hand minus reserved units."""

    product: int
    stock: int
    on_hand: int
    reserved: int


class StockResource:
    """Stock corrections."""

    def __init__(self, dependencies: Dependencies) -> None:
        self._dependencies = dependencies

    @OperationSpec(
        method="POST",
        path=f"{PRODUCT}stock/",
        name="adjustStock",
        summary="Change the stock by a delta, or set the available stock",
        responses={200: ResponseSpec(StockSchema, "The stock after the correction.")},
        tag=TAG,
        access=Access.ACCOUNT,
        scope=Scope.PRODUCTS_WRITE,
        idempotent=True,
        errors=(Forbidden, StockMoved),
    )
    async def adjust_stock(self, call: Call[StockBody, None]) -> Response:
        body = call.body
        command = AdjustStock(
            ProductId(call.id),
            call.identity.account_id,
            delta=_optional(body.delta),
            available=_optional(body.set),
            expected=_optional(body.expected),
            as_staff=call.identity.is_staff,
            address=call.client_address,
            idempotency=await build_idempotency_key(call, encode_stock),
        )
        try:
            outcome = await self._dependencies.adjust_stock.submit(command)
        except Invalid as error:
            # For a value out of bounds the core names the field `stock`, which this body does not have.
            field = "delta" if body.set is UNSET else "set"
            raise Invalid(
                {field if name == "stock" else name: messages for name, messages in error.errors.items()}
            ) from None
        return Response(response_body([outcome], encode_stock), media_type="application/json")


def encode_stock(stock: Stock) -> bytes:
    return msgspec.json.encode(StockSchema(stock.product_id, stock.available, stock.on_hand, stock.reserved))


def _optional(figure: int | UnsetType) -> int | None:
    return None if figure is UNSET else figure
