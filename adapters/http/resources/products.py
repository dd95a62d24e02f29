"""`products/api/v1/`: products of the catalog."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import partial
from operator import itemgetter
from typing import Annotated, Any, Final, TypeVar

import msgspec
from attrs import evolve
from msgspec import UNSET, UnsetType
from starlette.responses import Response

from adapters.http.cache.product_cache import ANONYMOUS_CACHE_CONTROL, AUTHENTICATED_CACHE_CONTROL
from adapters.http.dependencies import Dependencies
from adapters.http.framework.auth import Access
from adapters.http.framework.etags import EntityTag, expected_version, is_current, parse_if_match
from adapters.http.framework.idempotency_key import build_idempotency_key
from adapters.http.framework.money_fields import Price, convert_amounts
from adapters.http.framework.openapi import ETAG, LOCATION
from adapters.http.framework.operation import Call, Link, OperationSpec, ResponseSpec, json_response, no_content
from adapters.http.framework.pagination import PageQuery, PageSchema
from adapters.http.framework.problems import stock_precondition_failed
from adapters.http.framework.text_fields import Brand, Description, ProductName, Reason, Sku, Words
from adapters.http.resources.product_access import load_visible_product
from adapters.http.schemas.products import (
    CategoryRefSchema,
    PriceHistorySchema,
    ProductListSchema,
    ProductSchema,
    may_see_private_fields,
    product_etag,
    to_created_product_schema,
    to_price_history_schema,
    to_product_schema,
)
from scalecommerce_core.domain.api_key import Scope
from scalecommerce_core.domain.errors import Forbidden, NotFound, StockMoved
from scalecommerce_core.domain.identifiers import AccountId, CategoryId, PolicyId, ProductId
from scalecommerce_core.domain.money import Money
from scalecommerce_core.domain.stock import MAX_STOCK
from scalecommerce_core.queries import (
    LOW_STOCK,
    OwnProductsFilter,
    PriceHistory,
    ProductQueries,
    ProductView,
    StockLevel,
)
from scalecommerce_core.services.catalog import (
    CreateProduct,
    EditProduct,
    ProductWithStock,
    WithdrawPrice,
    WithdrawProduct,
)
from scalecommerce_core.services.results import Replayed, unwrap_single
from scalecommerce_core.services.sessions import Identity
from scalecommerce_core.services.verified_accounts import EmailNotVerified

T = TypeVar("T")

ROOT: Final = "/products/api/v1/"
PRODUCT: Final = ROOT + "{id:id}/"
TAG: Final = "Products"
MAX_PRODUCT_BYTES: Final = 128 * 1024
"""A description of 10,000 characters, each written as 12 bytes of JSON escapes, must fit."""
MAX_PRODUCTS: Final = 100
"""Products that one request reads."""

Units = Annotated[int, msgspec.Meta(ge=0, le=MAX_STOCK, examples=[40])]
UnitsPerBuyer = Annotated[
    int,
    msgspec.Meta(
        ge=1,
        le=MAX_STOCK,
        description="Most units that one buyer may have in unpaid orders and in paid ones of the last"
        " `BUYER_LIMIT_DAYS`, without refunded units; null: no limit.",
        examples=[2],
    ),
]
StockUntil = Annotated[
    datetime,
    msgspec.Meta(
        tz=True,
        description="The stock must last until then: the end of the season or the next delivery. Pricing policies that"
        " consider stock count down to it. Null, or a time that has passed: unknown.",
        examples=["2030-01-31T18:00:00Z"],
    ),
]
ObservedAt = Annotated[
    datetime,
    msgspec.Meta(
        tz=True,
        description="When `competitor_price` was observed; by default the time of the request.",
        examples=["2026-01-31T18:00:00Z"],
    ),
]
CompetitorPrice = Annotated[
    Price,
    msgspec.Meta(
        description="The lowest price of a competitor for the same product. The pricing strategy `competitor` considers"
        " it until it is some days old. Null: unknown.",
        examples=["24.90"],
    ),
]
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
    max_per_buyer: UnitsPerBuyer | None = None
    stock_until: StockUntil | None = None
    competitor_price: CompetitorPrice | None = None
    competitor_price_at: ObservedAt | None = None
    is_active: bool = True


class OptionalFields(msgspec.Struct, kw_only=True):
    """Omitted fields keep their values."""

    stock: Units | UnsetType = UNSET
    brand: Brand | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    sku: Sku | UnsetType | None = UNSET
    cost: Price | UnsetType | None = UNSET
    min_price: Price | UnsetType | None = UNSET
    max_price: Price | UnsetType | None = UNSET
    max_per_buyer: UnitsPerBuyer | UnsetType | None = UNSET
    stock_until: StockUntil | UnsetType | None = UNSET
    competitor_price: CompetitorPrice | UnsetType | None = UNSET
    competitor_price_at: ObservedAt | UnsetType | None = UNSET
    is_active: bool | UnsetType = UNSET


class ProductPut(OptionalFields, kw_only=True):
    name: ProductName
    category_id: Category
    price: Price


class ProductPatch(OptionalFields, kw_only=True):
    name: ProductName | UnsetType = UNSET
    category_id: Category | UnsetType = UNSET
    price: Price | UnsetType = UNSET


ProductChoice = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1, description="Id of a product.", examples=[1])]


class ProductsQuery(msgspec.Struct, frozen=True):
    id: Annotated[list[ProductChoice], msgspec.Meta(max_length=MAX_PRODUCTS, description="Ids of products.")] = (
        msgspec.field(default_factory=list)
    )


class OwnProductsQuery(PageQuery, frozen=True):
    is_active: Annotated[
        bool | None, msgspec.Meta(description="true: only active products; false: only paused ones.")
    ] = None
    stock: Annotated[
        StockLevel | None,
        msgspec.Meta(
            description=f"out: no unit is available; low: 1 to {LOW_STOCK} units; in: at least one, low stock included."
        ),
    ] = None
    category: (
        Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1, description="Id of a category.", examples=[11])] | None
    ) = None
    policy: (
        Annotated[
            int,
            msgspec.Meta(
                ge=1,
                le=2**63 - 1,
                description="Id of a pricing policy: only products that are assigned to it, without those that it"
                " covers as a part of a category or of the whole catalog.",
                examples=[4],
            ),
        ]
        | None
    ) = None
    search: Annotated[
        Words | None,
        msgspec.Meta(description="Words that are all in the name of the product, or its SKU.", examples=["blue cup"]),
    ] = None


class PriceWithdrawalBody(msgspec.Struct, omit_defaults=True):
    price: Annotated[Price, msgspec.Meta(description="The mistaken price, in force now or in the last 24 hours.")]
    reason: Annotated[Reason, msgspec.Meta(description="For the price history; only the seller and staff read it.")]
    new_price: Annotated[
        Price | None, msgspec.Meta(description="The new price; without it, the last other price of the product.")
    ] = None


AMOUNTS: Final = ("price", "cost", "min_price", "max_price", "competitor_price")
EDIT_ERRORS: Final = (Forbidden, (412, StockMoved.code))


def _own_filter(query: OwnProductsQuery) -> OwnProductsFilter:
    return OwnProductsFilter(
        query.is_active,
        query.stock,
        None if query.category is None else CategoryId(query.category),
        None if query.policy is None else PolicyId(query.policy),
        # Empty, as a form sends it: any.
        query.search or None,
    )


LINKS: Final = [
    Link("readProduct"),
    Link("patchProduct"),
    Link("withdrawProduct"),
    Link("adjustStock"),
    Link("readPriceHistory"),
    Link("withdrawPrice"),
    Link("readProductStatistics"),
]
PRIVATE_CACHE_CONTROL: Final = "private, no-store"
"""For representations with the fields that only the seller and staff may see."""

_ENCODER: Final = msgspec.json.Encoder()


class ProductResource:
    """Single products: create, read, edit, withdraw, price history."""

    def __init__(self, dependencies: Dependencies) -> None:
        self._dependencies = dependencies
        self._market = dependencies.market

    @OperationSpec(
        method="POST",
        path=ROOT,
        name="listProduct",
        summary="List a product for sale",
        responses={201: ResponseSpec(ProductSchema, "The product.", [LOCATION, ETAG], LINKS)},
        tag=TAG,
        max_body_bytes=MAX_PRODUCT_BYTES,
        access=Access.ACCOUNT,
        scope=Scope.PRODUCTS_WRITE,
        idempotent=True,
        errors=(EmailNotVerified,),
    )
    async def list_product(self, call: Call[NewProduct, None]) -> Response:
        body = call.body
        amounts = convert_amounts(self._market.currency, {name: getattr(body, name) for name in AMOUNTS})
        price = amounts["price"]
        assert price is not None  # noqa: S101 - it is required
        # Read before the command: `render` runs inside the transaction, which stores the response under the key.
        categories = await self._dependencies.run_in_thread(self._market.queries.categories)
        seller = await self._dependencies.run_in_thread(self._market.queries.account, call.identity.account_id)
        names = {category.id: category.name for category in categories}
        category = CategoryRefSchema(body.category_id, names.get(CategoryId(body.category_id), ""))

        def render(shelved: ProductWithStock) -> bytes:
            return _ENCODER.encode(to_created_product_schema(shelved, category, seller))

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
            max_per_buyer=body.max_per_buyer,
            stock_until=body.stock_until,
            competitor_price=amounts["competitor_price"],
            competitor_price_at=body.competitor_price_at,
            is_active=body.is_active,
            idempotency=await build_idempotency_key(call, render),
        )
        outcome = await self._dependencies.list_product.submit(command)
        if isinstance(outcome, Replayed):
            content, product = outcome.body, _decode_stored(outcome.body, call.identity.account_id)
        else:
            product = to_created_product_schema(outcome, category, seller)
            content = _ENCODER.encode(product)
        headers = {"Location": f"{ROOT}{product.id}/", "ETag": product_etag(1, product)}
        return Response(content, 201, headers, "application/json")

    @OperationSpec(
        method="GET",
        path=PRODUCT,
        name="readProduct",
        summary="Read a product; counts a view",
        responses={
            200: ResponseSpec(ProductSchema, "The product.", [ETAG]),
            304: ResponseSpec(None, "The product is unchanged.", [ETAG]),
        },
        tag=TAG,
        access=Access.OPTIONAL,
        scope=Scope.PRODUCTS_READ,
        conditional=True,
    )
    async def read_product(self, call: Call[None, None]) -> Response:
        """Respond from the cache, except to the seller and staff, who see further fields and the current stock."""
        product, identity = ProductId(call.id), call.optional_identity
        entry = None
        if identity is None or not identity.is_staff:
            entry = await self._dependencies.cache.products.get(product)
        if entry is None or (identity is not None and identity.account_id == entry.seller):
            view = await load_visible_product(self._dependencies, call)
            schema = to_product_schema(view, identity, seller_email=self._dependencies.seller_email_public)
            etag, seller, cache_control = product_etag(view.version, schema), view.seller.id, PRIVATE_CACHE_CONTROL
            body = _ENCODER.encode(schema)
        elif entry.body is None:
            raise NotFound("product", call.id)
        else:
            etag, seller = entry.etag, entry.seller
            cache_control = ANONYMOUS_CACHE_CONTROL if identity is None else AUTHENTICATED_CACHE_CONTROL
            body = entry.body
        self._dependencies.view_tracker.record_view(call.request.scope, identity, product, seller)
        headers = {"ETag": etag, "Cache-Control": cache_control}
        if is_current(call.request.headers, etag):
            return Response(status_code=304, headers=headers)
        return Response(body, headers=headers, media_type="application/json")

    @OperationSpec(
        method="GET",
        path=f"{ROOT}by-id/",
        name="readProducts",
        summary="Read several products; counts no views",
        description="For baskets and lists of favourites. Products that do not exist, or are not visible to the caller,"
        " are omitted.",
        responses={200: ResponseSpec(ProductListSchema, "The products, in the order of the request.")},
        tag=TAG,
        access=Access.OPTIONAL,
        scope=Scope.PRODUCTS_READ,
    )
    async def read_products(self, call: Call[None, ProductsQuery]) -> Response:
        ids = [ProductId(each) for each in dict.fromkeys(call.query.id)]
        identity, seller_email = call.optional_identity, self._dependencies.seller_email_public
        views = await self._read(identity, lambda queries: queries.products(ids), lambda found: found.values())
        visible = [
            to_product_schema(view, identity, seller_email=seller_email)
            for each in ids
            if (view := views.get(each)) is not None and (view.is_active or may_see_private_fields(view, identity))
        ]
        return json_response(ProductListSchema(visible), headers={"Cache-Control": PRIVATE_CACHE_CONTROL})

    @OperationSpec(
        method="GET",
        path=f"{ROOT}own/",
        name="listOwnProducts",
        summary="List the caller's products, by state, stock, category, policy and words",
        responses={200: ResponseSpec(PageSchema[ProductSchema], "Products, newest first.")},
        tag=TAG,
        access=Access.ACCOUNT,
        scope=Scope.PRODUCTS_READ,
    )
    async def list_own_products(self, call: Call[None, OwnProductsQuery]) -> Response:
        page = await self._dependencies.run_in_thread(
            self._market.queries.own_products,
            call.identity.account_id,
            self._dependencies.paginator.parse_request(call.request, call.query),
            _own_filter(call.query),
        )
        to_schema = partial(to_product_schema, identity=call.identity)
        return json_response(self._dependencies.paginator.to_schema(call.request, call.query, page, to_schema))

    @OperationSpec(
        method="PUT",
        path=PRODUCT,
        name="putProduct",
        summary="Replace the required fields of a product",
        description="Optional fields that the request omits keep their values.",
        responses={200: ResponseSpec(ProductSchema, "The product.", [ETAG])},
        tag=TAG,
        max_body_bytes=MAX_PRODUCT_BYTES,
        access=Access.ACCOUNT,
        scope=Scope.PRODUCTS_WRITE,
        conditional=True,
        errors=EDIT_ERRORS,
    )
    async def put_product(self, call: Call[ProductPut, None]) -> Response:
        return await self._edit_product(call, call.body)

    @OperationSpec(
        method="PATCH",
        path=PRODUCT,
        name="patchProduct",
        summary="Edit some fields of a product",
        responses={200: ResponseSpec(ProductSchema, "The product.", [ETAG])},
        tag=TAG,
        max_body_bytes=MAX_PRODUCT_BYTES,
        access=Access.ACCOUNT,
        scope=Scope.PRODUCTS_WRITE,
        conditional=True,
        errors=EDIT_ERRORS,
    )
    async def patch_product(self, call: Call[ProductPatch, None]) -> Response:
        return await self._edit_product(call, call.body)

    @OperationSpec(
        method="DELETE",
        path=PRODUCT,
        name="withdrawProduct",
        summary="Withdraw a product from the catalog",
        description="Orders keep their lines of the product.",
        responses={204: ResponseSpec(None, "The product is withdrawn.")},
        tag=TAG,
        access=Access.ACCOUNT,
        scope=Scope.PRODUCTS_WRITE,
        conditional=True,
        errors=(Forbidden,),
    )
    async def withdraw_product(self, call: Call[None, None]) -> Response:
        version = expected_version(call.request.headers)
        identity = call.identity
        command = WithdrawProduct(
            ProductId(call.id), identity.account_id, version, as_staff=identity.is_staff, address=call.client_address
        )
        await self._dependencies.withdraw_product.submit(command)
        return no_content()

    @OperationSpec(
        method="GET",
        path=f"{PRODUCT}price-history/",
        name="readPriceHistory",
        summary="Read the price history of a product, with its lowest price in 30 days",
        responses={200: ResponseSpec(PriceHistorySchema, "The price history, newest first.")},
        tag=TAG,
        access=Access.OPTIONAL,
        scope=Scope.PRODUCTS_READ,
    )
    async def read_price_history(self, call: Call[None, None]) -> Response:
        product, identity, now = ProductId(call.id), call.optional_identity, self._market.clock.now()

        def read(queries: ProductQueries) -> tuple[Sequence[ProductView], PriceHistory | None]:
            views = list(queries.products([product]).values())
            return views, queries.price_history(product, now) if views else None

        views, history = await self._read(identity, read, itemgetter(0))
        if history is None or not (views[0].is_active or may_see_private_fields(views[0], identity)):
            raise NotFound("product", product)
        return json_response(to_price_history_schema(views[0], history, identity))

    async def _read(
        self,
        identity: Identity | None,
        read: Callable[[ProductQueries], T],
        views: Callable[[T], Iterable[ProductView]],
    ) -> T:
        """Call `read` with the queries of the public catalog, or with those of the market: for staff, and for the
        seller of a product among its `views`, who see their own changes in every process at once.
        """
        run, market = self._dependencies.run_in_thread, self._market.queries
        catalog = self._dependencies.catalog_queries
        if identity is None or not identity.is_staff:
            found = await run(read, catalog)
            if catalog is market or not any(may_see_private_fields(view, identity) for view in views(found)):
                return found
        return await run(read, market)

    @OperationSpec(
        method="POST",
        path=f"{PRODUCT}price-withdrawals/",
        name="withdrawPrice",
        summary="Withdraw a mistaken price",
        description="Orders cannot use the price any more: its promise and its quotes end, and undecided orders at this"
        " price are rejected. Reserved and paid orders keep it. If the price is in force, the product gets `new_price`,"
        " or its last other price. The price history shows the withdrawal. Repeating the request changes nothing.",
        responses={200: ResponseSpec(ProductSchema, "The product.", [ETAG])},
        tag=TAG,
        access=Access.ACCOUNT,
        scope=Scope.PRODUCTS_WRITE,
        errors=(Forbidden,),
    )
    async def withdraw_price(self, call: Call[PriceWithdrawalBody, None]) -> Response:
        identity, body = call.identity, call.body
        view = await load_visible_product(self._dependencies, call)
        amounts = convert_amounts(view.price.currency, {"price": body.price, "new_price": body.new_price})
        price = amounts["price"]
        assert price is not None  # noqa: S101 - it is required
        command = WithdrawPrice(
            view.id,
            identity.account_id,
            price,
            body.reason,
            amounts["new_price"],
            as_staff=identity.is_staff,
            address=call.client_address,
        )
        unwrap_single(await self._dependencies.run_in_thread(self._market.catalog.withdraw_prices, [command]))
        view = await self._dependencies.load_product.submit(view.id)
        schema = to_product_schema(view, identity)
        return json_response(schema, headers={"ETag": product_etag(view.version, schema)})

    async def _edit_product(self, call: Call[Any, None], body: ProductPut | ProductPatch) -> Response:
        changes = {name: value for name, value in msgspec.structs.asdict(body).items() if value is not UNSET}
        tag = parse_if_match(call.request.headers)
        stock = changes.pop("stock", None)
        currency = self._market.currency
        if changes.keys() & set(AMOUNTS) or _lacks_stock(tag, stock):
            view = await self._dependencies.load_product.submit(ProductId(call.id))
            currency = view.price.currency
            if may_see_private_fields(view, call.identity):
                tag = _add_current_stock(tag, stock, view)
        changes |= convert_amounts(currency, {name: changes[name] for name in AMOUNTS if name in changes})
        command = EditProduct(
            ProductId(call.id),
            call.identity.account_id,
            changes,
            stock=stock,
            version=None if tag is None else tag.version,
            as_staff=call.identity.is_staff,
            address=call.client_address,
            baseline=_baseline(tag, currency),
        )
        try:
            shelved: ProductWithStock = await self._dependencies.edit_product.submit(command)
        except StockMoved as moved:
            raise stock_precondition_failed(call.id, moved.expected, moved.actual) from None
        view = await self._dependencies.load_product.submit(shelved.product.id)
        schema = to_product_schema(view, call.identity, seller_email=self._dependencies.seller_email_public)
        return json_response(schema, headers={"ETag": product_etag(view.version, schema)})


def _decode_stored(body: bytes, seller: AccountId) -> ProductSchema:
    """Decode a stored response, which the former release may have written: without id and public name of the seller."""
    document = msgspec.json.decode(body)
    document["seller"] = {"id": seller, "display_name": ""} | document["seller"]
    return msgspec.convert(document, ProductSchema)


def _lacks_stock(tag: EntityTag | None, stock: int | None) -> bool:
    """Whether the request sets the stock with an If-Match tag that does not contain the stock."""
    return stock is not None and tag is not None and tag.stock is None


def _add_current_stock(tag: EntityTag | None, stock: int | None, view: ProductView) -> EntityTag | None:
    """Complete a tag without a stock by the current one; raise a 412 `Problem` if `stock` differs from it."""
    if tag is None or not _lacks_stock(tag, stock):
        return tag
    if tag.version == view.version and stock != view.stock:
        raise stock_precondition_failed(
            view.id,
            None,
            view.stock,
            f"The stock is {view.stock} now, and the If-Match tag does not contain the stock that you read: read the"
            " product again with your access token, and send the ETag of that response.",
        )
    return evolve(tag, stock=view.stock)


def _baseline(tag: EntityTag | None, currency: str) -> dict[str, Any]:
    """The price and stock that the client has read, as far as its entity tag contains them."""
    baseline: dict[str, Any] = {}
    if tag is not None and tag.price is not None:
        baseline["price"] = Money(tag.price, currency)
    if tag is not None and tag.stock is not None:
        baseline["stock"] = tag.stock
    return baseline
