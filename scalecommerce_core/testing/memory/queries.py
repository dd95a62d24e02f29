"""Queries over the in-memory store. They are simple on purpose, as an oracle for faster implementations."""

import itertools
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final, TypeVar

from attrs import evolve

from scalecommerce_core.domain.account import Account
from scalecommerce_core.domain.api_key import ApiKey
from scalecommerce_core.domain.audit import TargetKind
from scalecommerce_core.domain.category import Category
from scalecommerce_core.domain.event_visibility import EventOrder, EventOrderLine, visible_payload
from scalecommerce_core.domain.identifiers import (
    AccountId,
    CategoryId,
    DeliveryId,
    EndpointId,
    OrderId,
    ProductId,
    PromotionId,
    SessionId,
)
from scalecommerce_core.domain.order import LINE_ID_SPAN, Order, OrderLine, OrderStatus, is_sale
from scalecommerce_core.domain.price_history import RunningPromotion, lowest_price_30d, reduction_in_force
from scalecommerce_core.domain.product import PriceChange, Product
from scalecommerce_core.domain.promotion import PromotedProduct, Promotion
from scalecommerce_core.domain.relevance import BRAND_WEIGHT, DESCRIPTION_WEIGHT, NAME_WEIGHT, PHRASE_WEIGHT, relevance
from scalecommerce_core.domain.search_text import (
    FEW_MATCHES,
    SearchText,
    Term,
    corrected_search,
    more_frequent_search,
    parse_search,
    suggestion,
)
from scalecommerce_core.domain.spelling import KnownWord
from scalecommerce_core.domain.stock import MovementKind, Stock
from scalecommerce_core.domain.webhook import DeliveryStatus
from scalecommerce_core.queries import (
    ACTIVE_ACCOUNTS,
    ALL_PRODUCTS,
    ALL_SALES,
    MAX_FACET_VALUES,
    MAX_SESSIONS,
    MAX_UNDECIDED,
    OWN_PRODUCTS,
    PRICE_BUCKETS,
    AccountDetails,
    AccountFilter,
    AccountView,
    AllProductsFilter,
    ApiKeyState,
    AuditFilter,
    CategoryRef,
    DeliveryView,
    EndpointView,
    Facet,
    FacetCounts,
    FacetValue,
    FeedEvent,
    FeedPage,
    Interval,
    Key,
    MovementTotal,
    OrderView,
    OwnProductsFilter,
    Page,
    PageRequest,
    PriceHistory,
    PriceInterval,
    ProductFilter,
    ProductSearchPage,
    ProductView,
    SaleFilter,
    SalesFigures,
    SalesReport,
    SaleState,
    SaleView,
    SellerRef,
    SellerStats,
    SessionState,
    SessionView,
    SortOrder,
    StaffProductView,
    StockDiscrepancy,
    StockMovementView,
    TopProduct,
    ValidationBacklog,
    bucket_label,
    check_feed_position,
)
from scalecommerce_core.queries.accounts import MAX_ACTIONS
from scalecommerce_core.testing.memory.archive import MemoryArchiveQueries
from scalecommerce_core.testing.memory.audit import MemoryAuditQueries
from scalecommerce_core.testing.memory.events import numbered
from scalecommerce_core.testing.memory.experiments import MemoryExperimentQueries
from scalecommerce_core.testing.memory.operations import MemoryOperationsQueries, order_view
from scalecommerce_core.testing.memory.pagination import paged
from scalecommerce_core.testing.memory.pricing import MemoryPricingQueries
from scalecommerce_core.testing.memory.promotions import running_promotion
from scalecommerce_core.testing.memory.statistics import MemoryStatisticsQueries
from scalecommerce_core.testing.memory.store import MemoryStore
from scalecommerce_core.testing.memory.tables import NUMBERED, PURGED, copy_promotion, is_offered
from scalecommerce_core.testing.memory.text_search import (
    BRAND,
    DESCRIPTION,
    NAME,
    Document,
    folded,
    name_has_words,
    vocabulary_words,
)
from scalecommerce_core.testing.memory.webhooks import shown_delivery, shown_endpoint

T = TypeVar("T")
SOLD: Final = frozenset({OrderStatus.PAID, OrderStatus.REFUNDED})
TOP: Final = 10


class MemoryQueries(
    MemoryStatisticsQueries,
    MemoryPricingQueries,
    MemoryExperimentQueries,
    MemoryAuditQueries,
    MemoryOperationsQueries,
    MemoryArchiveQueries,
):
    """`queries.Queries` over a `MemoryStore`. `currency` is used for price facets and for statistics without sales."""

    def __init__(self, store: MemoryStore, currency: str = "USD") -> None:
        self._store = store
        self._tables = store.tables.committed()
        self._currency = currency

    # --- promotions

    def promotions(self, owner: AccountId | None, page: PageRequest) -> Page[Promotion]:
        found = [copy_promotion(each) for each in self._tables.promotions.all() if owner in {None, each.seller_id}]
        return paged(found, lambda promotion: (-promotion.id,), page)

    def promotion(self, promotion_id: PromotionId) -> Promotion | None:
        return self._tables.promotions.get(promotion_id)

    def promoted_products(self, promotion_id: PromotionId, page: PageRequest) -> Page[PromotedProduct]:
        found = [evolve(item) for key, item in self._tables.promoted.items() if key[1] == promotion_id]
        return paged(found, lambda item: (item.product_id,), page)

    # --- accounts

    def accounts(self, page: PageRequest, criteria: AccountFilter = ACTIVE_ACCOUNTS) -> Page[AccountView]:
        found = [
            account
            for account in self._tables.accounts.all()
            if criteria.is_active in {None, account.is_active}
            and criteria.is_staff in {None, account.is_staff}
            and criteria.email in {None, account.email}
            and (criteria.search is None or folded(criteria.search.strip()) in _searched(account))
        ]
        return paged([_account_view(account) for account in found], lambda view: (view.id,), page)

    def account_details(self, account_id: AccountId) -> AccountDetails | None:
        account = self._tables.accounts.get(account_id)
        if account is None:
            return None
        actions = self.audit_entries(
            PageRequest(MAX_ACTIONS), AuditFilter(target_kind=TargetKind.ACCOUNT, target_id=str(account_id))
        )
        factor = self._tables.second_factors.get(account_id)
        return AccountDetails(
            _account_view(account),
            account.is_staff,
            account.is_active,
            account.created_at,
            [record.entry for record in actions.rows],
            is_deleted=account.is_deleted,
            email_verified_at=account.email_verified_at,
            has_second_factor=factor is not None and factor.is_enabled,
        )

    def account(self, account_id: AccountId) -> AccountView | None:
        account = self._tables.accounts.get(account_id)
        return None if account is None else _account_view(account)

    # --- sessions

    def session_states(self, ids: Collection[SessionId]) -> Mapping[SessionId, SessionState]:
        found = {}
        for id_ in ids:
            session = self._tables.sessions.get(id_)
            account = None if session is None else self._tables.accounts.get(session.account_id)
            if session is not None and account is not None:
                is_open = session.revoked_at is None and account.is_active
                found[id_] = SessionState(account.id, is_open, account.is_staff)
        return found

    def open_sessions(self, account_id: AccountId, now: datetime) -> Sequence[SessionView]:
        mine = [each for each in self._tables.sessions.all() if each.account_id == account_id and each.is_open(now)]
        mine.sort(key=lambda each: each.id)
        mine.sort(key=lambda each: each.created_at, reverse=True)
        return [
            SessionView(each.id, each.created_at, each.issued_at, each.expires_at, each.network, each.user_agent)
            for each in mine[:MAX_SESSIONS]
        ]

    def api_keys(self, account_id: AccountId) -> Sequence[ApiKey]:
        mine = [key for key in self._tables.api_keys.all() if key.account_id == account_id and key.revoked_at is None]
        return [evolve(key) for key in sorted(mine, key=lambda key: key.id, reverse=True)]

    def api_key_states(self, digests: Collection[str]) -> Mapping[str, ApiKeyState]:
        found = {}
        for key in self._tables.api_keys.all():
            account = self._tables.accounts.get(key.account_id)
            if account is None:
                continue
            is_open = key.revoked_at is None and account.is_active
            factor = self._tables.second_factors.get(account.id)
            has_factor = factor is not None and factor.is_enabled
            ends = {key.digest: key.expires_at}
            if key.previous_digest is not None:
                ends[key.previous_digest] = min(
                    (end for end in (key.expires_at, key.previous_until) if end is not None), default=None
                )
            for digest in ends.keys() & set(digests):
                found[digest] = ApiKeyState(
                    key.id, key.account_id, key.scopes, is_open, account.is_staff, ends[digest], has_factor
                )
        return found

    def revoked_sessions(self, since: datetime) -> Sequence[SessionId]:
        return [
            session.id
            for session in self._tables.sessions.all()
            if session.revoked_at is not None and session.revoked_at >= since
        ]

    # --- events

    def feed(self, after: int | None, limit: int, account: AccountId | None) -> FeedPage:
        marks = self._tables.event_marks
        purged, last = marks.get(PURGED) or 0, marks.get(NUMBERED) or 0
        check_feed_position(after, purged, last)
        return FeedPage.of(list(itertools.islice(self._seen_by(account, after or 0), limit)), limit, last)

    def visible_events(self, numbers: Collection[int], account: AccountId | None) -> Mapping[int, FeedEvent]:
        return {
            event.seq: event for event in self._seen_by(account, min(numbers, default=1) - 1) if event.seq in numbers
        }

    def _seen_by(self, account: AccountId | None, after: int) -> Iterator[FeedEvent]:
        for event in numbered(self._tables.events.all(), self._tables.event_marks, after):
            if account is None or account in event.audience:
                order = self._tables.orders.get(event.payload["order_id"]) if "order_id" in event.payload else None
                data = visible_payload(
                    event.topic, event.payload, None if order is None else _event_order(order), account
                )
                yield FeedEvent(event.seq, event.topic, event.at, data)

    # --- webhooks

    def endpoints(
        self, owner: AccountId | None, page: PageRequest, *, is_active: bool | None = None
    ) -> Page[EndpointView]:
        shown = [
            shown_endpoint(endpoint)
            for endpoint in self._tables.endpoints.all()
            if endpoint.deleted_at is None
            and owner in {None, endpoint.owner_id}
            and is_active in {None, endpoint.is_active}
        ]
        return paged(shown, lambda view: (view.id,), page)

    def endpoint(self, endpoint_id: EndpointId) -> EndpointView | None:
        endpoint = self._tables.endpoints.get(endpoint_id)
        return None if endpoint is None or endpoint.deleted_at is not None else shown_endpoint(endpoint)

    def deliveries(
        self,
        endpoint_id: EndpointId | None,
        page: PageRequest,
        *,
        status: DeliveryStatus | None = None,
        owner: AccountId | None = None,
    ) -> Page[DeliveryView]:
        shown = [
            shown_delivery(delivery, self._tables.attempts)
            for delivery in self._tables.deliveries.all()
            if (endpoint := self.endpoint(delivery.endpoint_id)) is not None
            and owner in {None, endpoint.owner}
            and endpoint_id in {None, delivery.endpoint_id}
            and status in {None, delivery.status}
        ]
        return paged(shown, lambda view: (-view.id,), page)

    def delivery(self, delivery_id: DeliveryId) -> DeliveryView | None:
        delivery = self._tables.deliveries.get(delivery_id)
        if delivery is None or self.endpoint(delivery.endpoint_id) is None:
            return None
        return shown_delivery(delivery, self._tables.attempts)

    # --- products

    def search(self, criteria: ProductFilter, page: PageRequest) -> ProductSearchPage:
        sort_key = SORT_KEYS.get(criteria.sort_order, SORT_KEYS[SortOrder.CREATED_DESC])
        if criteria.search is None:
            matching = self._matching(criteria, None)
            found = paged(matching, sort_key, page)
            return ProductSearchPage(_offered(found.rows), found.next, found.previous, len(matching))
        text = parse_search(criteria.search)
        begins = page.before if page.before is not None else page.after
        if begins is None:
            corrected, suggested = self._corrected(text)
        else:
            # Later pages use the corrections of the first page, even if the vocabulary has changed.
            corrected, suggested = text.with_corrections(str(begins[0])), None
        matching = self._matching(criteria, corrected)
        if criteria.sort_order is SortOrder.RELEVANCE and corrected.required:
            sort_key = self._by_relevance(corrected, matching)
        found = paged(matching, lambda view: (corrected.corrections, *sort_key(view)), page)
        if begins is None and found.next is None and corrected == text and 0 < len(found.rows) < FEW_MATCHES:
            suggested = self._more_frequent(text)
        return ProductSearchPage(_offered(found.rows), found.next, found.previous, len(matching), True, suggested)

    def facets(self, criteria: ProductFilter, facets: Collection[Facet]) -> FacetCounts:
        text = None if criteria.search is None else self._corrected(parse_search(criteria.search))[0]
        views = {facet: self._matching(criteria.without_filter_of(facet), text) for facet in facets}
        return FacetCounts({facet: FACETS[facet](views[facet], self._currency)[:MAX_FACET_VALUES] for facet in facets})

    def products(self, ids: Collection[ProductId]) -> Mapping[ProductId, ProductView]:
        found = self._tables.products.get_many(ids).values()
        return {product.id: self._view(product) for product in found if product.withdrawn_at is None}

    def own_products(
        self, seller_id: AccountId, page: PageRequest, criteria: OwnProductsFilter = OWN_PRODUCTS
    ) -> Page[ProductView]:
        views = [
            self._view(product)
            for product in self._tables.products.all()
            if product.seller_id == seller_id
            and product.withdrawn_at is None
            and (criteria.is_active is None or product.is_active is criteria.is_active)
        ]
        listed = [view for view in views if self._is_selected(view, criteria)]
        return paged(listed, SORT_KEYS[SortOrder.CREATED_DESC], page)

    def _is_selected(self, view: ProductView, criteria: OwnProductsFilter) -> bool:
        if criteria.policy is not None:
            assignment = self._tables.assignments.get(view.id)
            if assignment is None or assignment.policy_id != criteria.policy:
                return False
        return (
            (criteria.stock is None or criteria.stock.includes(view.stock))
            and criteria.category in {None, view.category.id}
            and (criteria.search is None or view.sku == criteria.search or name_has_words(view.name, criteria.search))
        )

    def all_products(self, page: PageRequest, criteria: AllProductsFilter = ALL_PRODUCTS) -> Page[StaffProductView]:
        views = [
            self._staff_product_view(product)
            for product in self._tables.products.all()
            if criteria.seller is None or product.seller_id == criteria.seller
        ]
        listed = [
            view
            for view in views
            if criteria.is_on_sale is None or (view.state is SaleState.ON_SALE) is criteria.is_on_sale
        ]
        return paged(listed, lambda view: SORT_KEYS[SortOrder.CREATED_DESC](view.product), page)

    def _staff_product_view(self, product: Product) -> StaffProductView:
        seller = self._tables.accounts.get(product.seller_id)
        state = SaleState.of(
            is_active=product.is_active,
            is_withdrawn=product.withdrawn_at is not None,
            is_seller_active=seller is not None and seller.is_active,
        )
        return StaffProductView(self._view(product), state, product.withdrawn_at)

    def categories(self) -> Sequence[Category]:
        return sorted(self._tables.categories.all(), key=lambda category: category.id)

    def visibility_horizon(self) -> int:
        return self._store.commits + 1

    def snapshot(self, ids: Collection[ProductId]) -> tuple[int, Mapping[ProductId, ProductView]]:
        # Read before the products: other transactions may commit in between.
        horizon = self.visibility_horizon()
        return horizon, self.products(ids)

    def price_history(self, product_id: ProductId, now: datetime) -> PriceHistory | None:
        product = self._tables.products.get(product_id)
        if product is None or product.withdrawn_at is not None:
            return None
        promotion = running_promotion(self._tables, product_id)
        return _history(self._tables.price_history(product_id), now, promotion)

    def seller_stats(self, seller_id: AccountId) -> SellerStats:
        products = [p for p in self._tables.products.all() if p.seller_id == seller_id and p.withdrawn_at is None]
        views = sum(self._tables.views.get(product.id) or 0 for product in products)
        paid = [
            order
            for order in self._tables.orders.all()
            if order.status in SOLD
            and is_sale(order.buyer_id, seller_id)
            and seller_id in {line.seller_id for line in order.lines}
        ]
        counted = Counter(order.currency for order in paid)
        currency = min(counted, key=lambda each: (-counted[each], each), default=None)
        sold: dict[ProductId, list[OrderLine]] = {}
        orders = set()
        for order in paid:
            for line in order.lines:
                if line.seller_id == seller_id and order.currency == currency:
                    sold.setdefault(line.product_id, []).append(line)
                    orders.add(order.id)
        tops = sorted(
            (
                TopProduct(product_id, self._name(product_id), _units(lines), _revenue(lines))
                for product_id, lines in sold.items()
            ),
            key=lambda top: (-top.revenue, top.id),
        )
        return SellerStats(
            total_products=len(products),
            active_products=sum(product.is_active for product in products),
            total_views=views,
            avg_views=views / len(products) if products else 0.0,
            revenue=sum(_revenue(lines) for lines in sold.values()),
            currency=currency or (products[0].price.currency if products else self._currency),
            units_sold=sum(_units(lines) for lines in sold.values()),
            orders=len(orders),
            conversion_rate=len(orders) / views if views else 0.0,
            top_products=tuple(tops[:TOP]),
        )

    def sales_report(self, seller_id: AccountId, interval: Interval, since: datetime, until: datetime) -> SalesReport:
        begin, end = interval.whole_points(since, until)
        before = begin - (end - begin)
        currency = self.seller_stats(seller_id).currency
        points = tuple(self.seller_series(seller_id, currency, interval, begin, end))
        earlier = self.seller_series(seller_id, currency, interval, before, begin)
        return SalesReport(
            currency=currency,
            interval=interval,
            since=begin,
            until=end,
            previous_since=before,
            points=points,
            total=SalesFigures.sum(point.sales for point in points),
            previous=SalesFigures.sum(point.sales for point in earlier),
            top_products=tuple(self.top_products_between(seller_id, currency, begin, end)),
        )

    def ids_by_sku(self, seller_id: AccountId, skus: Collection[str]) -> Mapping[str, ProductId]:
        given = set(skus)
        return {
            p.sku: p.id
            for p in self._tables.products.all()
            if p.seller_id == seller_id and p.sku is not None and p.sku in given and p.withdrawn_at is None
        }

    def _matching(self, criteria: ProductFilter, text: SearchText | None) -> list[ProductView]:
        slugs = {category.id: category.slug for category in self._tables.categories.all()}
        return [
            view
            for view in self._active()
            if _matches(view, criteria, slugs[view.category.id], self._currency) and (text is None or _has(view, text))
        ]

    def _active(self) -> list[ProductView]:
        return [self._view(product) for product in self._tables.products.all() if product.is_active]

    def _by_relevance(self, text: SearchText, views: Collection[ProductView]) -> Callable[[ProductView], Key]:
        ranks = {
            view: relevance(text_score(text, view), self._tables.prominence.get(view.id) or 0, in_stock=view.stock > 0)
            for view in views
        }
        return lambda view: (-ranks[view], -view.id)

    def _corrected(self, text: SearchText) -> tuple[SearchText, str | None]:
        """The search with unknown words corrected, and the suggestion to show; if no word is corrected, the search
        itself and None.
        """
        views = self._active()
        unknown = {
            place: folded(term.word)
            for place, term in enumerate(text.terms)
            if term.word is not None and not any(_has(view, SearchText((term,))) for view in views)
        }
        corrected = corrected_search(text, unknown, lambda _: self._vocabulary(views))
        if corrected is None:
            return text, None
        return corrected, suggestion(corrected, list(unknown.items()))

    def _more_frequent(self, text: SearchText) -> str | None:
        known = self._vocabulary(self._active())
        counts = {each.word: each.products for each in known}
        rare = {}
        for place, term in enumerate(text.terms):
            count = sum(counts.get(folded(form), 0) for form in term.word_forms)
            if term.word is not None and count < FEW_MATCHES:
                rare[place] = folded(term.word), count
        better = more_frequent_search(text, rare, lambda _: known)
        return None if better is None else str(better)

    def _vocabulary(self, views: Sequence[ProductView]) -> list[KnownWord]:
        words = Counter(word for view in views for word in vocabulary_words(f"{view.name} {view.brand}"))
        return [KnownWord(word, count) for word, count in words.items()]

    def _view(self, product: Product) -> ProductView:
        category = self._tables.categories.get(product.category_id)
        seller = self._tables.accounts.get(product.seller_id)
        stock = self._tables.stock.get(product.id)
        if category is None:
            raise LookupError(f"product {product.id} has no category")
        return ProductView(
            id=product.id,
            name=product.name,
            brand=product.brand,
            price=product.price,
            description=product.description,
            category=CategoryRef(category.id, category.name),
            seller=SellerRef(
                product.seller_id,
                seller.first_name if seller is not None else "",
                seller.last_name if seller is not None else "",
                seller.email if seller is not None else "",
                seller.public_name if seller is not None else "",
            ),
            stock=stock.available if stock is not None else 0,
            is_active=is_offered(self._tables, product),
            created_at=product.created_at,
            count_viewed=self._tables.views.get(product.id) or 0,
            sku=product.sku,
            cost=product.cost,
            min_price=product.min_price,
            max_price=product.max_price,
            version=product.version,
            max_per_buyer=product.max_per_buyer,
            stock_until=product.stock_until,
            competitor_price=product.competitor_price,
            competitor_price_at=product.competitor_price_at,
            promotion=running_promotion(self._tables, product.id),
        )

    def _name(self, product_id: ProductId) -> str:
        product = self._tables.products.get(product_id)
        return "" if product is None else product.name

    # --- orders

    def orders_of_buyer(self, buyer_id: AccountId, page: PageRequest) -> Page[OrderView]:
        views = [order_view(self._tables, order) for order in self._tables.orders.all() if order.buyer_id == buyer_id]
        return paged(views, lambda view: (-view.id,), page)

    def orders(self, ids: Collection[OrderId]) -> Mapping[OrderId, OrderView]:
        return {order.id: order_view(self._tables, order) for order in self._tables.orders.get_many(ids).values()}

    def sales(self, seller_id: AccountId, page: PageRequest, criteria: SaleFilter = ALL_SALES) -> Page[SaleView]:
        views = [
            SaleView(
                id=_line_id(order, line),
                order=order.id,
                product=line.product_id,
                name=self._name(line.product_id),
                quantity=line.quantity,
                price=line.price,
                refunded=line.refunded,
                currency=order.currency,
                status=order.status,
                created_at=order.created_at,
            )
            for order in self._tables.orders.all()
            for line in order.lines
            if line.seller_id == seller_id and is_sale(order.buyer_id, line.seller_id)
        ]
        shown = [
            view
            for view in views
            if criteria.status in {None, view.status}
            and criteria.product in {None, view.product}
            and (criteria.since is None or view.created_at >= criteria.since)
            and (criteria.until is None or view.created_at < criteria.until)
        ]
        return paged(shown, lambda view: (-view.id,), page)

    def oldest_undecided(self) -> datetime | None:
        waiting = (
            order.created_at
            for order in self._tables.orders.all()
            if order.status is OrderStatus.CREATED and not order.is_parked
        )
        return min(waiting, default=None)

    def validation_backlog(self, upto: OrderId | None = None) -> ValidationBacklog:
        waiting = sorted(
            (order.id, order.created_at)
            for order in self._tables.orders.all()
            if order.status is OrderStatus.CREATED and not order.decide_attempts
        )[:MAX_UNDECIDED]
        if not waiting:
            return ValidationBacklog()
        remaining = sum(id_ <= (upto or 0) for id_, _ in waiting)
        oldest = min(placed_at for _, placed_at in waiting)
        return ValidationBacklog(len(waiting), remaining, waiting[0][0], waiting[-1][0], oldest)

    # --- exports

    def iter_products(self, seller: AccountId | None = None) -> Iterator[ProductView]:
        for product in sorted(self._tables.products.all(), key=lambda product: product.id):
            if product.withdrawn_at is None and seller in {None, product.seller_id}:
                yield self._view(product)

    def iter_orders(self) -> Iterator[OrderView]:
        for order in sorted(self._tables.orders.all(), key=lambda order: order.id):
            yield order_view(self._tables, order)

    # --- ledger audit

    def stock_discrepancies(self, limit: int | None = 100) -> Sequence[StockDiscrepancy]:
        on_hand: dict[ProductId, int] = {}
        for movement in self._tables.movements.all():
            on_hand[movement.product_id] = on_hand.get(movement.product_id, 0) + movement.quantity
        reserved: dict[ProductId, int] = {}
        for order in self._tables.orders.all():
            if order.status is OrderStatus.PENDING:
                for line in order.lines:
                    reserved[line.product_id] = reserved.get(line.product_id, 0) + line.quantity
        found = [
            StockDiscrepancy(stock.product_id, figure, stored, expected)
            for stock in sorted(self._tables.stock.all(), key=lambda stock: stock.product_id)
            for figure, stored, expected in _figures(stock, on_hand, reserved)
            if stored != expected
        ]
        found += [
            StockDiscrepancy(product_id, figure, stored[order_id, product_id], expected[order_id, product_id], order_id)
            for figure, stored, expected in (
                ("sold", self._booked(MovementKind.SALE), self._paid()),
                ("returned", self._booked(MovementKind.RETURN), self._restocked()),
            )
            for order_id, product_id in stored.keys() | expected.keys()
            if stored[order_id, product_id] != expected[order_id, product_id]
        ]
        return sorted(found, key=lambda each: (each.product_id, each.figure, each.order_id or 0))[:limit]

    def _booked(self, kind: MovementKind) -> Counter[tuple[OrderId, ProductId]]:
        units: Counter[tuple[OrderId, ProductId]] = Counter()
        for movement in self._tables.movements.all():
            if movement.kind is kind and movement.order_id is not None:
                units[movement.order_id, movement.product_id] += abs(movement.quantity)
        return units

    def _paid(self) -> Counter[tuple[OrderId, ProductId]]:
        units: Counter[tuple[OrderId, ProductId]] = Counter()
        for order in self._tables.orders.all():
            if order.status in {OrderStatus.PAID, OrderStatus.REFUNDED}:
                for line in order.lines:
                    units[order.id, line.product_id] += line.quantity
        return units

    def _restocked(self) -> Counter[tuple[OrderId, ProductId]]:
        units: Counter[tuple[OrderId, ProductId]] = Counter()
        for refund in self._tables.refunds.all():
            order = self._tables.orders.get(refund.order_id)
            if refund.restocked and order is not None:
                (product,) = (line.product_id for line in order.lines if line.position == refund.position)
                units[order.id, product] += refund.quantity
        return units

    def stock_movements(self, product_id: ProductId, page: PageRequest) -> Page[StockMovementView]:
        ledger, on_hand = list[StockMovementView](), 0
        hot = {number for number, _ in self._tables.hot_movements()}
        for number, each in enumerate(self._tables.movements.all(), 1):
            if each.product_id == product_id:
                on_hand += each.quantity
                if number not in hot:
                    continue
                ledger.append(StockMovementView(number, each.quantity, each.kind, each.order_id, on_hand, each.at))
        return paged(ledger, lambda view: (-view.id,), page)

    def movement_totals(self) -> Sequence[MovementTotal]:
        kinds: dict[MovementKind, list[int]] = {}
        for movement in self._tables.movements.all():
            kinds.setdefault(movement.kind, []).append(movement.quantity)
        return [MovementTotal(kind, len(kinds[kind]), sum(kinds[kind])) for kind in sorted(kinds)]


def _searched(account: Account) -> str:
    return folded(f"{account.email} {account.first_name} {account.last_name} {account.display_name}")


def _offered(views: Iterable[ProductView]) -> tuple[ProductView, ...]:
    """The products of a page without those of deactivated sellers, as on PostgreSQL."""
    return tuple(view for view in views if view.is_active)


SORT_KEYS: Final[Mapping[SortOrder, Callable[[ProductView], Key]]] = {
    SortOrder.PRICE: lambda view: (view.price.minor, view.id),
    SortOrder.PRICE_DESC: lambda view: (-view.price.minor, -view.id),
    SortOrder.CREATED: lambda view: (view.created_at.timestamp(), view.id),
    SortOrder.CREATED_DESC: lambda view: (-view.created_at.timestamp(), -view.id),
    SortOrder.VIEWED_DESC: lambda view: (-view.count_viewed, -view.id),
}


def _matches(view: ProductView, criteria: ProductFilter, slug: str, currency: str) -> bool:
    """Whether a product passes the filter; prices are in `currency`."""
    by_price = criteria.price_min is not None or criteria.price_max is not None
    categories = {str(category) for category in criteria.categories}
    return (
        (not categories or str(view.category.id) in categories or slug in categories)
        and (not criteria.brands or view.brand in criteria.brands)
        and (criteria.seller is None or view.seller.id == criteria.seller)
        and (not by_price or view.price.currency == currency)
        and (criteria.price_min is None or view.price.minor >= criteria.price_min)
        and (criteria.price_max is None or view.price.minor <= criteria.price_max)
        and (criteria.in_stock is None or (view.stock > 0) == criteria.in_stock)
        and (criteria.created_after is None or view.created_at > criteria.created_after)
        and (criteria.created_before is None or view.created_at < criteria.created_before)
    )


def _by_category(views: Sequence[ProductView], _currency: str) -> list[FacetValue]:
    names: dict[CategoryId, str] = {view.category.id: view.category.name for view in views}
    counted = {key: sum(view.category.id == key for view in views) for key in names}
    return [FacetValue(key, names[key], counted[key]) for key in sorted(names, key=lambda key: (-counted[key], key))]


def _by_brand(views: Sequence[ProductView], _currency: str) -> list[FacetValue]:
    counted: dict[str, int] = {}
    for view in views:
        if view.brand:
            counted[view.brand] = counted.get(view.brand, 0) + 1
    return [FacetValue(brand, brand, counted[brand]) for brand in sorted(counted, key=lambda b: (-counted[b], b))]


def _by_price(views: Sequence[ProductView], currency: str) -> list[FacetValue]:
    bounds: list[tuple[int, int | None]] = [*itertools.pairwise(PRICE_BUCKETS)]
    bounds.append((PRICE_BUCKETS[-1], None))
    found = []
    prices = [view.price.minor for view in views if view.price.currency == currency]
    for lower, upper in bounds:
        count = sum(lower <= price and (upper is None or price < upper) for price in prices)
        if count:
            found.append(FacetValue(lower, bucket_label(lower, upper, currency), count, upper))
    return found


FACETS: Final[Mapping[Facet, Callable[[Sequence[ProductView], str], list[FacetValue]]]] = {
    Facet.CATEGORY: _by_category,
    Facet.BRAND: _by_brand,
    Facet.PRICE: _by_price,
}


def _document(view: ProductView) -> Document:
    return Document.of(view.name, view.brand, view.description)


def _has(view: ProductView, text: SearchText) -> bool:
    """Whether a product has every required and no excluded word or phrase."""
    document = _document(view)
    return (
        bool(text.terms)
        and all(_holds_any(document, term) for term in text.required)
        and not any(_holds_any(document, term) for term in text.excluded)
    )


def text_score(text: SearchText, view: ProductView) -> int:
    """The part of the relevance that depends on words; see `domain.relevance`."""
    document = _document(view)
    score = 0
    for term in text.required:
        if _holds_any(document, term, NAME):
            score += NAME_WEIGHT
        else:
            score += BRAND_WEIGHT if _holds_any(document, term, NAME + BRAND) else DESCRIPTION_WEIGHT
    together = itertools.product(*(term.forms for term in text.required))
    if len(text.required) > 1 and any(document.holds(" ".join(each)) for each in together):
        score += PHRASE_WEIGHT
    return score


def _holds_any(document: Document, term: Term, fields: str = NAME + BRAND + DESCRIPTION) -> bool:
    return any(document.holds(text, fields) for text in term.texts)


def _history(changes: Sequence[PriceChange], now: datetime, promotion: RunningPromotion | None) -> PriceHistory:
    ends = [*(change.valid_from for change in changes[1:]), None]
    intervals = [
        PriceInterval(change.price, change.valid_from, end, change.cause, change.is_withdrawn, change.withdrawal)
        for change, end in zip(changes, ends, strict=True)
    ]
    return PriceHistory(
        tuple(reversed(intervals)), lowest_price_30d(changes, now), reduction_in_force(changes, promotion)
    )


def _account_view(account: Account) -> AccountView:
    return AccountView(
        account.id, account.first_name, account.last_name, account.email, account.bio, account.public_name
    )


def _event_order(order: Order) -> EventOrder:
    lines = [EventOrderLine(line.product_id, line.seller_id, line.quantity, line.price) for line in order.lines]
    return EventOrder(order.buyer_id, order.currency, lines)


def _line_id(order: Order, line: OrderLine) -> int:
    return order.id * LINE_ID_SPAN + line.position


def _units(lines: Iterable[OrderLine]) -> int:
    return sum(line.refundable for line in lines)


def _revenue(lines: Iterable[OrderLine]) -> int:
    return sum(line.refundable * line.price for line in lines)


def _figures(
    stock: Stock, on_hand: Mapping[ProductId, int], reserved: Mapping[ProductId, int]
) -> tuple[tuple[str, int, int], tuple[str, int, int]]:
    return (
        ("on_hand", stock.on_hand, on_hand.get(stock.product_id, 0)),
        ("reserved", stock.reserved, reserved.get(stock.product_id, 0)),
    )
