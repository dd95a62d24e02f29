"""`products/api/v1/`: the catalogue."""

from typing import Annotated, Any, Final

import msgspec
from attrs import evolve
from msgspec import UNSET, UnsetType
from starlette.responses import Response

from adapters.http.dependencies import Dependencies
from adapters.http.framework.auth import Access
from adapters.http.framework.etags import EntityTag, expected_version, parse_if_match
from adapters.http.framework.idempotency_key import build_idempotency_key
from adapters.http.framework.money_fields import Price, convert_amounts
from adapters.http.framework.openapi import ETAG, LOCATION
from adapters.http.framework.operation import Call, Link, Operation, ResponseSpec, json_response, no_content
from adapters.http.framework.problems import stock_precondition_failed
from adapters.http.framework.text_fields import Brand, Description, ProductName, Sku
from adapters.http.resources.product_access import ProductReaders
from adapters.http.schemas.products import (
    CategoryRefSchema,
    PriceHistorySchema,
    Product,
    may_see_private_fields,
    product_etag,
    to_created_product_schema,
    to_price_history_schema,
    to_product_schema,
)
from scalecommerce_core.domain.errors import Forbidden, NotFound, StockMoved
from scalecommerce_core.domain.identifiers import CategoryId, ProductId
from scalecommerce_core.domain.money import Money
from scalecommerce_core.domain.stock import MAX_STOCK
from scalecommerce_core.queries import ProductView
from scalecommerce_core.services.catalog import CreateProduct, EditProduct, ProductWithStock, WithdrawProduct
from scalecommerce_core.services.results import Replayed

ROOT: Final = "/products/api/v1/"
ONE: Final = ROOT + "{id:id}/"
TAG: Final = "Products"

Units = Annotated[int, msgspec.Meta(ge=0, le=MAX_STOCK, examples=[40])]
Category = Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1, description="Id of a category.", examples=[5])]


class NewProduct(msgspec.Struct, omit_defaults=True):
    name: ProductName
    category_id: Category
    price: Price
    stock: Units = 0
    brand: Brand = ""
    description: Description = ""
    sku: Sku | None = None
    cost: Price | None = None
    min_price: Price | None = None
    max_price: Price | None = None
    is_active: bool = True


class OptionalFields(msgspec.Struct, kw_only=True):
    """What is not given stays as it is."""

    stock: Units | UnsetType = UNSET
    brand: Brand | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    sku: Sku | UnsetType | None = UNSET
    cost: Price | UnsetType | None = UNSET
    min_price: Price | UnsetType | None = UNSET
    max_price: Price | UnsetType | None = UNSET
    is_active: bool | UnsetType = UNSET


class ProductPut(OptionalFields, kw_only=True):
    name: ProductName
    category_id: Category
    price: Price


class ProductPatch(OptionalFields, kw_only=True):
    name: ProductName | UnsetType = UNSET
    category_id: Category | UnsetType = UNSET
    price: Price | UnsetType = UNSET


AMOUNTS: Final = ("price", "cost", "min_price", "max_price")


def operations(dependencies: Dependencies) -> list[Operation[Any, Any]]:
    market, readers = dependencies.market, ProductReaders(dependencies)

    async def list_product(call: Call[NewProduct, None]) -> Response:
        body = call.body
        amounts = convert_amounts(market.currency, {name: getattr(body, name) for name in AMOUNTS})
        price = amounts["price"]
        assert price is not None  # noqa: S101 - it is required
        # Read beforehand: what a repetition of this request is answered is made inside of the transaction.
        names = {category.id: category.name for category in await dependencies.run_in_thread(market.queries.categories)}
        seller = await dependencies.run_in_thread(market.queries.account, call.identity.account_id)
        category = CategoryRefSchema(body.category_id, names.get(CategoryId(body.category_id), ""))

        def render(shelved: ProductWithStock) -> bytes:
            return msgspec.json.encode(to_created_product_schema(shelved, category, seller))

        command = CreateProduct(
            owner=call.identity.account_id,
            category_id=CategoryId(body.category_id),
            name=body.name,
            price=price,
            stock=body.stock,
            brand=body.brand,
            description=body.description,
            sku=body.sku,
            cost=amounts["cost"],
            min_price=amounts["min_price"],
            max_price=amounts["max_price"],
            is_active=body.is_active,
            idempotency=await build_idempotency_key(call, render),
        )
        outcome = await dependencies.list_product.submit(command)
        if isinstance(outcome, Replayed):
            content, listed = outcome.body, msgspec.json.decode(outcome.body, type=Product)
        else:
            listed = to_created_product_schema(outcome, category, seller)
            content = msgspec.json.encode(listed)
        headers = {"Location": f"{ROOT}{listed.id}/", "ETag": product_etag(1, listed)}
        return Response(content, 201, headers, "application/json")

    async def edit_product(call: Call[ProductPut | ProductPatch, None]) -> Response:
        given = {name: value for name, value in msgspec.structs.asdict(call.body).items() if value is not UNSET}
        edition = parse_if_match(call.request.headers)
        stock = given.pop("stock", None)
        currency = market.currency
        if given.keys() & set(AMOUNTS) or _needs_stock(edition, stock):
            view = await dependencies.load_product.submit(ProductId(call.id))
            currency = view.price.currency
            if may_see_private_fields(view, call.identity):
                edition = _with_stock(edition, stock, view)
        changes = given | convert_amounts(currency, {name: given[name] for name in AMOUNTS if name in given})
        command = EditProduct(
            ProductId(call.id),
            call.identity.account_id,
            changes,
            stock=stock,
            version=None if edition is None else edition.version,
            as_staff=call.identity.is_staff,
            baseline=_baseline(edition, currency),
        )
        try:
            shelved: ProductWithStock = await dependencies.edit_product.submit(command)
        except StockMoved as moved:
            raise stock_precondition_failed(call.id, moved.expected, moved.actual) from None
        view = await dependencies.load_product.submit(shelved.product.id)
        document = to_product_schema(view, call.identity)
        return json_response(document, headers={"ETag": product_etag(view.version, document)})

    async def withdraw_product(call: Call[None, None]) -> Response:
        version = expected_version(call.request.headers)
        command = WithdrawProduct(
            ProductId(call.id), call.identity.account_id, version, as_staff=call.identity.is_staff
        )
        await dependencies.withdraw_product.submit(command)
        return no_content()

    async def price_history(call: Call[None, None]) -> Response:
        view = await readers.visible(call)
        history = await dependencies.run_in_thread(market.queries.price_history, view.id, market.clock.now())
        if history is None:
            raise NotFound("product", call.id)
        return json_response(to_price_history_schema(view.id, history))

    leads_on = [
        Link("readProduct"),
        Link("patchProduct"),
        Link("withdrawProduct"),
        Link("adjustStock"),
        Link("readPriceHistory"),
        Link("readProductStatistics"),
    ]
    return [
        Operation(
            method="POST",
            path=ROOT,
            name="listProduct",
            summary="Offer a product",
            handler=list_product,
            responses={201: ResponseSpec(Product, "The product.", [LOCATION, ETAG], leads_on)},
            tag=TAG,
            body=NewProduct,
            access=Access.ACCOUNT,
            idempotent=True,
        ),
        Operation(
            method="GET",
            path=ONE,
            name="readProduct",
            summary="One product; counts a view",
            handler=readers.product,
            responses={
                200: ResponseSpec(Product, "The product.", [ETAG]),
                304: ResponseSpec(None, "It is unchanged.", [ETAG]),
            },
            tag=TAG,
            access=Access.OPTIONAL,
            conditional=True,
        ),
        Operation(
            method="PUT",
            path=ONE,
            name="putProduct",
            summary="Edit a product",
            handler=edit_product,
            responses={200: ResponseSpec(Product, "The product.", [ETAG])},
            tag=TAG,
            body=ProductPut,
            access=Access.ACCOUNT,
            conditional=True,
            errors=(Forbidden, (412, StockMoved.code)),
        ),
        Operation(
            method="PATCH",
            path=ONE,
            name="patchProduct",
            summary="Edit some fields of a product",
            handler=edit_product,
            responses={200: ResponseSpec(Product, "The product.", [ETAG])},
            tag=TAG,
            body=ProductPatch,
            access=Access.ACCOUNT,
            conditional=True,
            errors=(Forbidden, (412, StockMoved.code)),
        ),
        Operation(
            method="DELETE",
            path=ONE,
            name="withdrawProduct",
            summary="Take a product out of the catalogue; orders keep their lines",
            handler=withdraw_product,
            responses={204: ResponseSpec(None, "It is gone.")},
            tag=TAG,
            access=Access.ACCOUNT,
            conditional=True,
            errors=(Forbidden,),
        ),
        Operation(
            method="GET",
            path=f"{ONE}price-history/",
            name="readPriceHistory",
            summary="All prices of a product, its lowest price in 30 days, and the prior price of a reduction",
            handler=price_history,
            responses={200: ResponseSpec(PriceHistorySchema, "Newest first.")},
            tag=TAG,
            access=Access.OPTIONAL,
        ),
    ]


def _needs_stock(edition: EntityTag | None, stock: int | None) -> bool:
    """Whether the request sets the stock with an If-Match tag that does not name the stock."""
    return stock is not None and edition is not None and edition.stock is None


def _with_stock(edition: EntityTag | None, stock: int | None, view: ProductView) -> EntityTag | None:
    """The edition with the current stock as the one that was read; raise a 412 `Problem` if `stock` differs from it."""
    if edition is None or not _needs_stock(edition, stock):
        return edition
    if edition.version == view.version and stock != view.stock:
        raise stock_precondition_failed(
            view.id,
            None,
            view.stock,
            f"The stock is {view.stock} now, and the If-Match tag does not name the stock that you read: read the"
            " product again with your access token, and use the ETag of that response.",
        )
    return evolve(edition, stock=view.stock)


def _baseline(edition: EntityTag | None, currency: str) -> dict[str, Any]:
    """The figures that the client had read, as its entity tag names them."""
    found: dict[str, Any] = {}
    if edition is not None and edition.price is not None:
        found["price"] = Money(edition.price, currency)
    if edition is not None and edition.stock is not None:
        found["stock"] = edition.stock
    return found
