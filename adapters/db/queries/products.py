"""Product queries: search, facets, details and price history."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import cache, partial
from itertools import pairwise
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    Select,
    Text,
    and_,
    bindparam,
    func,
    or_,
    select,
    text,
    true,
    union_all,
)

from adapters.db.core.bulk_statements import equals_any, id_array, text_array
from adapters.db.core.change_notifications import VISIBILITY_HORIZON, change_number
from adapters.db.price_changes import CHANGE_COLUMNS, price_change
from adapters.db.queries.executor import QueryExecutor
from adapters.db.queries.keyset import Keyset, build_page, page_direction, page_statements
from adapters.db.queries.search.counts import ProductCounts
from adapters.db.queries.search.facets import FacetCounter
from adapters.db.queries.search.fetching import PageFetcher
from adapters.db.queries.search.index.execution import CurrentIndex, IndexExecution
from adapters.db.queries.search.limits import SearchLimits
from adapters.db.queries.search.planning import SearchPlanner
from adapters.db.queries.search.text_queries import TextQueries
from adapters.db.queries.search.understanding import SearchInterpreter
from adapters.db.queries.statement_cache import CachedStatement
from adapters.db.repositories.products import CATEGORIES, category_of
from adapters.db.schema import (
    accounts,
    categories,
    price_history,
    pricing_assignments,
    product_views,
    products,
    promoted_products,
    promotions,
    stock,
)
from adapters.db.schema.accounts import DEACTIVATED
from scalecommerce_core.domain.account import public_name
from scalecommerce_core.domain.category import Category
from scalecommerce_core.domain.identifiers import AccountId, CategoryId, PolicyId, ProductId
from scalecommerce_core.domain.money import Money
from scalecommerce_core.domain.price_history import RunningPromotion, lowest_price_30d, reduction_in_force
from scalecommerce_core.queries import (
    ALL_PRODUCTS,
    LOW_STOCK,
    OWN_PRODUCTS,
    AllProductsFilter,
    CategoryRef,
    Facet,
    FacetCounts,
    Key,
    OwnProductsFilter,
    Page,
    PageRequest,
    PriceHistory,
    PriceInterval,
    ProductFilter,
    ProductSearchPage,
    ProductView,
    SaleState,
    SellerRef,
    StaffProductView,
    StockLevel,
)

_PROMOTION: Final = (
    promotions.c.name,
    promoted_products.c.starts_at,
    promoted_products.c.ends_at,
    promoted_products.c.prior_price,
)
_IN_FORCE: Final = and_(
    # A literal, so that the planner knows that the partial index suits.
    promoted_products.c.product_id == products.c.id,
    text("promoted_products.status = 'running'"),
)
_VIEW: Final = (
    products.c.id,
    products.c.name,
    products.c.brand,
    products.c.price,
    products.c.currency,
    products.c.description,
    categories.c.id,
    categories.c.name,
    accounts.c.id,
    accounts.c.first_name,
    accounts.c.last_name,
    accounts.c.email,
    accounts.c.display_name,
    func.coalesce(stock.c.on_hand - stock.c.reserved, 0),
    products.c.is_active & accounts.c.is_active,
    products.c.created_at,
    func.coalesce(product_views.c.views, 0),
    products.c.sku,
    products.c.cost,
    products.c.min_price,
    products.c.max_price,
    products.c.version,
    products.c.max_per_buyer,
    products.c.stock_until,
    products.c.competitor_price,
    products.c.competitor_price_at,
    *_PROMOTION,
)
_SHOWN: Final = (
    products.join(categories, categories.c.id == products.c.category_id)
    .join(accounts, accounts.c.id == products.c.seller_id)
    .outerjoin(stock, stock.c.product_id == products.c.id)
    .outerjoin(product_views, product_views.c.product_id == products.c.id)
    .outerjoin(promoted_products, _IN_FORCE)
    .outerjoin(promotions, promotions.c.id == promoted_products.c.promotion_id)
)
_BY_ID: Final = select(*_VIEW).select_from(_SHOWN).where(equals_any(products.c.id), products.c.withdrawn_at.is_(None))
_PRODUCTS: Final = CachedStatement.compile(_BY_ID)
_NEWEST_FIRST: Final = Keyset((products.c.created_at, products.c.id), descending=True)
_HORIZON, _FOUND = VISIBILITY_HORIZON.subquery("moment"), _BY_ID.subquery("found")
# One statement, hence one snapshot. It returns the horizon even if there is no product.
_SNAPSHOT: Final = CachedStatement.compile(
    select(*_HORIZON.c, *_FOUND.c).select_from(_HORIZON.outerjoin(_FOUND, true()))
)
_HISTORY: Final = (
    select(*_PROMOTION, *CHANGE_COLUMNS)
    .select_from(price_history)
    .join(products, products.c.id == price_history.c.product_id)
    .outerjoin(promoted_products, _IN_FORCE)
    .outerjoin(promotions, promotions.c.id == promoted_products.c.promotion_id)
    .where(equals_any(price_history.c.product_id), products.c.withdrawn_at.is_(None))
    .order_by(price_history.c.valid_from)
)
_BY_SKU: Final = select(products.c.sku, products.c.id).where(
    products.c.seller_id == bindparam("seller", type_=BigInteger),
    equals_any(products.c.sku, "skus"),
    products.c.withdrawn_at.is_(None),
)


# --- a seller's own products

_AVAILABLE: Final = func.coalesce(stock.c.on_hand - stock.c.reserved, 0)
_STOCK_LEVELS: Final[Mapping[StockLevel, ColumnElement[bool]]] = {
    StockLevel.OUT: _AVAILABLE < 1,
    StockLevel.LOW: _AVAILABLE.between(1, LOW_STOCK),
    StockLevel.IN: _AVAILABLE >= 1,
}
# Words of names have the weight A.
_NAMED: Final = text(
    "products.document @@ CAST(regexp_replace("
    "CAST(plainto_tsquery('market', search_terms(folded(:search))) AS text), '''(?= |$)', '''\\:A', 'g'"
    ") AS tsquery)"
).bindparams(bindparam("search", type_=Text))


@cache
def _own_statements(shape: OwnProductsFilter) -> Mapping[str, Select[*tuple[Any, ...]]]:
    """The statements of the pages of a seller's list. `shape` has the conditions; values that are parameters are 1 or
    empty there, so that there are few statements.

    The products are found by their keys alone, newest first, and only those of the page are joined with the rest.
    """
    seller = bindparam("seller", type_=BigInteger)
    keys = select(products.c.created_at, products.c.id).where(
        products.c.seller_id == seller, products.c.withdrawn_at.is_(None)
    )
    if shape.is_active is not None:
        keys = keys.where(products.c.is_active.is_(shape.is_active))
    if shape.category is not None:
        keys = keys.where(products.c.category_id == bindparam("category", type_=Integer))
    if shape.search is not None:
        keys = keys.where(or_(products.c.sku == bindparam("search", type_=Text), _NAMED))
    if shape.policy is not None:
        keys = keys.join(pricing_assignments, pricing_assignments.c.product_id == products.c.id).where(
            pricing_assignments.c.policy_id == bindparam("policy", type_=BigInteger)
        )
    if shape.stock is not None:
        keys = keys.outerjoin(stock, stock.c.product_id == products.c.id).where(_STOCK_LEVELS[shape.stock])

    def statement(request: PageRequest) -> Select[*tuple[Any, ...]]:
        page = _NEWEST_FIRST.page_statement(keys, request).subquery("page")
        order = _NEWEST_FIRST.columns
        backwards = request.before is not None
        return (
            select(*_VIEW)
            .select_from(_SHOWN.join(page, page.c.id == products.c.id))
            .order_by(*(column.asc() if backwards else column.desc() for column in order))
        )

    return page_statements(statement)


# --- all products, for staff

_KEYS: Final = select(products.c.created_at, products.c.id)


def _all_products_statement(
    is_on_sale: bool | None, request: PageRequest, *, of_seller: bool
) -> Select[*tuple[Any, ...]]:
    """A page of all products. Each part of the list is read along an index, up to a page of it."""
    backwards = request.before is not None
    cursor = {"has_cursor": backwards or request.after is not None, "backwards": backwards}

    def part(condition: ColumnElement[bool]) -> Select[*tuple[Any, ...]]:
        keys = _KEYS.where(condition)
        if of_seller:
            keys = keys.where(products.c.seller_id == bindparam("seller", type_=BigInteger))
        return keys

    def sliced(keys: Select[*tuple[Any, ...]]) -> Select[*tuple[Any, ...]]:
        return _NEWEST_FIRST.slice_statement(keys, **cursor)

    active, inactive = part(products.c.is_active), part(~products.c.is_active)
    on_sale = active.join(accounts, accounts.c.id == products.c.seller_id).where(accounts.c.is_active)
    # For each deactivated seller the newest products only.
    of_one = sliced(active.where(products.c.seller_id == accounts.c.id).correlate(accounts)).lateral("of_one")
    deactivated = select(of_one.c.created_at, of_one.c.id).select_from(accounts.join(of_one, true())).where(DEACTIVATED)
    if of_seller:
        deactivated = deactivated.where(accounts.c.id == bindparam("seller", type_=BigInteger))
    parts = {True: [sliced(on_sale)], False: [sliced(inactive), deactivated], None: [sliced(active), sliced(inactive)]}
    found = union_all(*(select(each.subquery()) for each in parts[is_on_sale])).subquery("found")
    nearest_first = [column.asc() if backwards else column.desc() for column in (found.c.created_at, found.c.id)]
    page = select(found.c.id).order_by(*nearest_first).limit(bindparam("limit", type_=Integer)).subquery("page")
    return (
        select(products.c.is_active, accounts.c.is_active, products.c.withdrawn_at, *_VIEW)
        .select_from(_SHOWN.join(page, page.c.id == products.c.id))
        .order_by(*(column.asc() if backwards else column.desc() for column in (products.c.created_at, products.c.id)))
    )


_ALL_BY_STATE: Final = {
    (is_on_sale, of_seller): page_statements(partial(_all_products_statement, is_on_sale, of_seller=of_seller))
    for is_on_sale in (None, True, False)
    for of_seller in (False, True)
}


class ProductQueries:
    """`index` answers searches by relevance while it is current."""

    def __init__(
        self,
        executor: QueryExecutor,
        limits: SearchLimits | None = None,
        currency: str = "USD",
        index: CurrentIndex | None = None,
    ) -> None:
        limits = limits or SearchLimits()
        texts = TextQueries(executor)
        execution = None if index is None else IndexExecution(index, executor, texts)
        counts = ProductCounts(executor, limits, texts, execution)
        planner = SearchPlanner(counts, limits)
        self._executor = executor
        self._index = index
        self._interpreter = SearchInterpreter(executor, planner, PageFetcher(executor, counts, execution), currency)
        self._facets = FacetCounter(executor, self._interpreter, planner, limits, currency=currency, index=execution)

    def search(self, criteria: ProductFilter, page: PageRequest) -> ProductSearchPage:
        found = self._interpreter.find_page(criteria, page)
        views = self.products([ProductId(id_) for id_ in found.ids])
        return ProductSearchPage(
            # Products that were withdrawn or deactivated since the page was found are left out.
            tuple(view for id_ in found.ids if (view := views.get(ProductId(id_))) is not None and view.is_active),
            found.next,
            found.previous,
            found.total,
            found.is_exact,
            found.did_you_mean,
        )

    def facets(self, criteria: ProductFilter, facets: Collection[Facet]) -> FacetCounts:
        return self._facets.count(criteria, facets)

    def products(self, ids: Collection[ProductId]) -> Mapping[ProductId, ProductView]:
        views = map(_view, self._executor.fetch(_PRODUCTS, {"ids": id_array(ids)}))
        return {view.id: view for view in views}

    def own_products(
        self, seller_id: AccountId, page: PageRequest, criteria: OwnProductsFilter = OWN_PRODUCTS
    ) -> Page[ProductView]:
        given = {"category": criteria.category, "policy": criteria.policy, "search": criteria.search}
        given = {name: value for name, value in given.items() if value is not None}
        shape = OwnProductsFilter(
            criteria.is_active,
            criteria.stock,
            None if criteria.category is None else CategoryId(1),
            None if criteria.policy is None else PolicyId(1),
            None if criteria.search is None else "",
        )
        parameters = {"seller": seller_id, **given, **_NEWEST_FIRST.page_params(page)}
        # The best plan depends on how many products of the seller match.
        statement = _own_statements(shape)[page_direction(page)]
        fetched = self._executor.fetch(statement, parameters, plan_each_time=bool(given or criteria.stock))
        return build_page([_view(row) for row in fetched], page, lambda view: view, _newest_key)

    def all_products(self, page: PageRequest, criteria: AllProductsFilter = ALL_PRODUCTS) -> Page[StaffProductView]:
        of_seller = criteria.seller is not None
        parameters = _NEWEST_FIRST.page_params(page) | ({"seller": criteria.seller} if of_seller else {})
        statement = _ALL_BY_STATE[criteria.is_on_sale, of_seller][page_direction(page)]
        # The best plan depends on how many products are off sale, and on the seller.
        fetched = self._executor.fetch(statement, parameters, plan_each_time=True)
        views = [_staff_view(row) for row in fetched]
        return build_page(views, page, lambda view: view, lambda view: _newest_key(view.product))

    def categories(self) -> Sequence[Category]:
        return [category_of(row) for row in self._executor.fetch(CATEGORIES)]

    def visibility_horizon(self) -> int:
        horizon = None if self._index is None else self._index.choose_list_horizon()
        if horizon is None:
            ((timeline, xid),) = self._executor.fetch(VISIBILITY_HORIZON)
            horizon = change_number(timeline, xid)
            if self._index is not None:
                self._index.use_list_horizon(horizon)
        return horizon

    def snapshot(self, ids: Collection[ProductId]) -> tuple[int, Mapping[ProductId, ProductView]]:
        rows = self._executor.fetch(_SNAPSHOT, {"ids": id_array(ids)})
        views = (_view(row[2:]) for row in rows if row[2] is not None)
        return change_number(*rows[0][:2]), {view.id: view for view in views}

    def price_history(self, product_id: ProductId, now: datetime) -> PriceHistory | None:
        rows = self._executor.fetch(_HISTORY, {"ids": id_array([product_id])})
        changes = [price_change(product_id, row[len(_PROMOTION) :]) for row in rows]
        if not changes:
            return None
        intervals = [
            PriceInterval(
                change.price,
                change.valid_from,
                following.valid_from if following else None,
                change.cause,
                change.is_withdrawn,
                change.withdrawal,
            )
            for change, following in pairwise([*changes, None])
            if change is not None
        ]
        promotion = _promotion(rows[0][: len(_PROMOTION)], changes[-1].price.currency)
        return PriceHistory(
            tuple(reversed(intervals)), lowest_price_30d(changes, now), reduction_in_force(changes, promotion)
        )

    def ids_by_sku(self, seller_id: AccountId, skus: Collection[str]) -> Mapping[str, ProductId]:
        rows = self._executor.fetch(_BY_SKU, {"seller": seller_id, "skus": text_array(skus)})
        return {sku: ProductId(id_) for sku, id_ in rows}


def _view(row: Sequence[Any]) -> ProductView:
    (
        id_, name, brand, price, currency, description, category_id, category, seller_id, first_name, last_name, email,
        display_name, available, is_active, created_at, views, sku, cost, min_price, max_price, version,
        max_per_buyer, stock_until, competitor_price, competitor_price_at, *promotion,
    ) = row  # fmt: skip
    shown_name = public_name(seller_id, display_name, first_name, last_name)
    # In the order of the fields: by name it takes longer, and a page of a list has fifty.
    return ProductView(
        id_, name, brand, Money(price, currency), description, CategoryRef(category_id, category),
        SellerRef(seller_id, first_name, last_name, email, shown_name), available, is_active, created_at, views, sku,
        None if cost is None else Money(cost, currency),
        None if min_price is None else Money(min_price, currency),
        None if max_price is None else Money(max_price, currency),
        max_per_buyer, version, stock_until,
        None if competitor_price is None else Money(competitor_price, currency),
        competitor_price_at, None if promotion[0] is None else _promotion(promotion, currency),
    )  # fmt: skip


def _staff_view(row: Sequence[Any]) -> StaffProductView:
    is_active, is_seller_active, withdrawn_at, *view = row
    state = SaleState.of(is_active=is_active, is_withdrawn=withdrawn_at is not None, is_seller_active=is_seller_active)
    return StaffProductView(_view(view), state, withdrawn_at)


def _newest_key(view: ProductView) -> Key:
    return view.created_at.isoformat(), view.id


def _promotion(values: Sequence[Any], currency: str) -> RunningPromotion | None:
    """The promotion in the columns of `_VIEW`; None if the product is in none."""
    name, starts_at, ends_at, prior_price = values
    return None if name is None else RunningPromotion(name, starts_at, ends_at, Money(prior_price, currency))
