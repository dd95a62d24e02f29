"""`products/api/v1/{id}/stock/`: what a seller says about the units they have."""

from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import UNSET, UnsetType
from starlette.responses import Response

from adapters.http.dependencies import Dependencies
from adapters.http.framework.auth import Access
from adapters.http.framework.idempotency_key import build_idempotency_key
from adapters.http.framework.operation import Call, OperationSpec, ResponseSpec
from adapters.http.resources.products import PRODUCT, TAG, Units
from scalecommerce_core.domain.errors import Forbidden, Invalid, StockMoved
from scalecommerce_core.domain.identifiers import ProductId
from scalecommerce_core.domain.stock import MAX_STOCK, Stock
from scalecommerce_core.services.catalog import AdjustStock
from scalecommerce_core.services.results import Replayed

Delta = Annotated[int, msgspec.Meta(ge=-MAX_STOCK, le=MAX_STOCK, examples=[5])]


class StockBody(msgspec.Struct, omit_defaults=True):
    """Either `delta`, or `set` (with `expected`: only if that is the figure now)."""

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
            raise Invalid.field("expected", "This goes with set: a delta is right whatever the figure is.")


class StockSchema(msgspec.Struct):
    """`stock` can be promised: it is on hand and not reserved."""

    product: int
    stock: int
    on_hand: int
    reserved: int


class StockResource:
    """The stock of a product."""

    def __init__(self, dependencies: Dependencies) -> None:
        self._dependencies = dependencies

    @OperationSpec(
        method="POST",
        path=f"{PRODUCT}stock/",
        name="adjustStock",
        summary="Restock by a delta, or set the figure that can be promised",
        responses={200: ResponseSpec(StockSchema, "The stock.")},
        tag=TAG,
        access=Access.ACCOUNT,
        idempotent=True,
        errors=(Forbidden, StockMoved),
    )
    async def adjust_stock(self, call: Call[StockBody, None]) -> Response:
        body = call.body
        command = AdjustStock(
            ProductId(call.id),
            call.identity.account_id,
            delta=_given(body.delta),
            available=_given(body.set),
            expected=_given(body.expected),
            as_staff=call.identity.is_staff,
            idempotency=await build_idempotency_key(call, encoded),
        )
        try:
            outcome = await self._dependencies.adjust_stock.submit(command)
        except Invalid as error:
            # Of a bound that was passed the core says `stock`, which is no field of this body.
            given = "delta" if body.set is UNSET else "set"
            raise Invalid({given if name == "stock" else name: said for name, said in error.errors.items()}) from None
        content = outcome.body if isinstance(outcome, Replayed) else encoded(outcome)
        return Response(content, media_type="application/json")


def encoded(stock: Stock) -> bytes:
    return msgspec.json.encode(StockSchema(stock.product_id, stock.available, stock.on_hand, stock.reserved))


def _given(figure: int | UnsetType) -> int | None:
    return None if figure is UNSET else figure
