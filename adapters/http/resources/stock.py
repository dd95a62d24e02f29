"""`products/api/v1/{id}/stock/`: stock corrections by the seller, and the stock ledger."""

from datetime import datetime
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import UNSET, UnsetType
from starlette.responses import Response

from adapters.http.dependencies import Dependencies
from adapters.http.framework.auth import Access
from adapters.http.framework.idempotency_key import build_idempotency_key, response_body
from adapters.http.framework.operation import Call, OperationSpec, ResponseSpec, json_response
from adapters.http.framework.pagination import PageQuery, PageSchema
from adapters.http.resources.product_access import load_own_product
from adapters.http.resources.products import PRODUCT, TAG, Units
from scalecommerce_core.domain.api_key import Scope
from scalecommerce_core.domain.errors import Forbidden, Invalid, StockMoved
from scalecommerce_core.domain.identifiers import ProductId
from scalecommerce_core.domain.stock import MAX_STOCK, MovementKind, Stock
from scalecommerce_core.queries import StockMovementView
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


class StockMovementSchema(msgspec.Struct):
    """`quantity` is positive for units that came in, negative for units that went out; `on_hand` are the units on hand
    afterwards. `order` is null except for sales and returns.
    """

    id: int
    kind: MovementKind
    quantity: int
    on_hand: int
    order: int | None
    at: datetime


class StockResource:
    """Stock corrections and movements."""

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

    @OperationSpec(
        method="GET",
        path=f"{PRODUCT}stock/movements/",
        name="listStockMovements",
        summary="List the stock movements of a product; for its seller and staff",
        responses={200: ResponseSpec(PageSchema[StockMovementSchema], "Entries of the stock ledger, newest first.")},
        tag=TAG,
        access=Access.ACCOUNT,
        scope=Scope.PRODUCTS_READ,
    )
    async def list_stock_movements(self, call: Call[None, PageQuery]) -> Response:
        product = await load_own_product(self._dependencies, call)
        page = await self._dependencies.run_in_thread(
            self._dependencies.market.queries.stock_movements,
            product.id,
            self._dependencies.paginator.parse_request(call.request, call.query),
        )
        return json_response(
            self._dependencies.paginator.to_schema(call.request, call.query, page, _to_movement_schema)
        )


def _to_movement_schema(view: StockMovementView) -> StockMovementSchema:
    return StockMovementSchema(view.id, view.kind, view.quantity, view.on_hand, view.order, view.at)


def encode_stock(stock: Stock) -> bytes:
    return msgspec.json.encode(StockSchema(stock.product_id, stock.available, stock.on_hand, stock.reserved))


def _optional(figure: int | UnsetType) -> int | None:
    return None if figure is UNSET else figure
