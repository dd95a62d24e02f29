"""Promotions and their products."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import BigInteger, Integer, and_, bindparam, exists, func, or_, select

from adapters.db.core.bulk_statements import Insert, Row, Update, equals_any, id_array
from adapters.db.core.session import SqlSession, next_numbers_statement
from adapters.db.repositories.outbox import append_events
from adapters.db.schema import Moment, products, promoted_products, promotion_ids, promotions
from scalecommerce_core.domain.identifiers import AccountId, CategoryId, ProductId, PromotionId
from scalecommerce_core.domain.money import Money
from scalecommerce_core.domain.promotion import (
    OPEN,
    PromotedProduct,
    Promotion,
    PromotionCandidate,
    PromotionNote,
    PromotionStatus,
)

_MAX_OVERLAPPING: Final = 10

_NUMBERS: Final = next_numbers_statement(promotion_ids)
_KEPT: Final = ("id", "seller_id", "created_at", "percent", "category_id", "is_all", "products")
_CHANGED: Final = ("name", "starts_at", "ends_at", "status", "version")
_INSERT: Final = Insert(promotions, *_KEPT, *_CHANGED, "due_at")
_UPDATE: Final = Update(promotions, ["id"], *_CHANGED, "due_at")
PROMOTION: Final = select(*(promotions.c[name] for name in (*_KEPT, *_CHANGED)))
_GET_MANY: Final = PROMOTION.where(equals_any(promotions.c.id)).order_by(promotions.c.id)
_LOCK: Final = _GET_MANY.with_for_update(key_share=True)
_CLAIM: Final = (
    PROMOTION.where(promotions.c.due_at <= bindparam("now", type_=Moment))
    .order_by(promotions.c.due_at, promotions.c.id)
    .limit(bindparam("limit", type_=BigInteger))
    .with_for_update(key_share=True, skip_locked=True)
)
_COUNT_OPEN: Final = select(func.count()).where(
    promotions.c.seller_id == bindparam("seller", type_=BigInteger), promotions.c.status.in_([*OPEN])
)

_CANDIDATE: Final = (
    select(products.c.id, products.c.seller_id, products.c.price, products.c.min_price, products.c.currency)
    .where(products.c.withdrawn_at.is_(None))
    .order_by(products.c.id)
    .limit(bindparam("limit", type_=BigInteger))
)
_CATEGORY: Final = bindparam("category", type_=Integer)
_CANDIDATES_OF_SELLER: Final = _CANDIDATE.where(
    products.c.seller_id == bindparam("seller", type_=BigInteger),
    or_(_CATEGORY.is_(None), products.c.category_id == _CATEGORY),
)
_CANDIDATES_BY_ID: Final = _CANDIDATE.where(equals_any(products.c.id))

_p: Final = promoted_products.c
_ITEM_KEYS: Final = ("product_id", "promotion_id")
_ITEM_AMOUNTS: Final = ("price", "prior_price", "promoted_price", "former_price")
_ITEM_CHANGES: Final = (
    "starts_at", "ends_at", "status", "due_at", "prior_price", "promoted_price", "former_price", "applied_at", "note",
)  # fmt: skip
_INSERT_ITEMS: Final = Insert(promoted_products, *_ITEM_KEYS, *_ITEM_CHANGES, "price", "percent", "currency")
_UPDATE_ITEMS: Final = Update(promoted_products, list(_ITEM_KEYS), *_ITEM_CHANGES)
ITEM: Final = select(
    *(_p[name] for name in ("promotion_id", "product_id", "starts_at", "ends_at", "currency")),
    *(_p[name] for name in _ITEM_AMOUNTS),
    *(_p[name] for name in ("percent", "status", "applied_at", "note")),
)
_LOCK_ITEMS: Final = (
    ITEM.where(_p.promotion_id == bindparam("promotion", type_=BigInteger))
    .order_by(_p.product_id)
    .with_for_update(key_share=True)
)
_OTHER: Final = promoted_products.alias("other")
# A promotion of a product starts after the end of the one before was written.
_CLAIM_ITEMS: Final = (
    ITEM.where(
        _p.due_at <= bindparam("now", type_=Moment),
        ~and_(
            _p.status == PromotionStatus.SCHEDULED.value,
            exists().where(_OTHER.c.product_id == _p.product_id, _OTHER.c.status == PromotionStatus.RUNNING.value),
        ),
    )
    .order_by(_p.due_at, _p.product_id, _p.promotion_id)
    .limit(bindparam("limit", type_=BigInteger))
    .with_for_update(key_share=True, skip_locked=True, of=promoted_products)
)
_OVERLAPPING: Final = (
    select(_p.product_id, _p.promotion_id)
    .where(
        equals_any(_p.product_id),
        _p.status.in_([*OPEN]),
        _p.promotion_id != bindparam("besides", type_=BigInteger),
        _p.starts_at < bindparam("ends_at", type_=Moment),
        _p.ends_at > bindparam("starts_at", type_=Moment),
    )
    .order_by(_p.product_id, _p.promotion_id)
    .limit(_MAX_OVERLAPPING)
)


class PostgresPromotionRepository:
    def __init__(self, sql: SqlSession) -> None:
        self._sql = sql

    def next_ids(self, count: int) -> Sequence[PromotionId]:
        return [PromotionId(number) for number in self._sql.next_numbers(_NUMBERS, count)]

    def add(self, promotion: Promotion, products: Collection[PromotedProduct]) -> None:
        self._sql.insert(_INSERT, [(*_values(promotion, _KEPT), *_values(promotion, _CHANGED), promotion.due_at)])
        self._sql.insert(
            _INSERT_ITEMS,
            [
                (item.product_id, item.promotion_id, *_changes(item), _minor(item.price), item.percent, item.currency)
                for item in products
            ],
        )
        append_events(self._sql, promotion.events)

    def get_many(self, ids: Collection[PromotionId]) -> Mapping[PromotionId, Promotion]:
        return {row[0]: promotion_of(row) for row in self._sql.fetch_all(_GET_MANY, {"ids": id_array(ids)})}

    def lock(self, ids: Collection[PromotionId]) -> Mapping[PromotionId, Promotion]:
        return {row[0]: promotion_of(row) for row in self._sql.fetch_all(_LOCK, {"ids": id_array(ids)})}

    def save(self, promotions: Collection[Promotion]) -> None:
        self._sql.update(_UPDATE, [(each.id, *_values(each, _CHANGED), each.due_at) for each in promotions])
        append_events(self._sql, (event for each in promotions for event in each.events))

    def claim_due(self, now: datetime, limit: int) -> Sequence[Promotion]:
        return [promotion_of(row) for row in self._sql.fetch_all(_CLAIM, {"now": now, "limit": limit})]

    def count_open(self, seller_id: AccountId) -> int:
        ((count,),) = self._sql.fetch_all(_COUNT_OPEN, {"seller": seller_id})
        return int(count)

    def candidates(
        self,
        seller_id: AccountId,
        limit: int,
        *,
        product_ids: Collection[ProductId] | None = None,
        category_id: CategoryId | None = None,
    ) -> Mapping[ProductId, PromotionCandidate]:
        if product_ids is None:
            rows = self._sql.fetch_all(
                _CANDIDATES_OF_SELLER, {"seller": seller_id, "category": category_id, "limit": limit}
            )
        else:
            rows = self._sql.fetch_all(_CANDIDATES_BY_ID, {"ids": id_array(product_ids), "limit": limit})
        return {
            id_: PromotionCandidate(
                id_, seller, Money(price, currency), None if min_price is None else Money(min_price, currency)
            )
            for id_, seller, price, min_price, currency in rows
        }

    def overlapping(
        self, product_ids: Collection[ProductId], starts_at: datetime, ends_at: datetime, besides: PromotionId
    ) -> Sequence[tuple[ProductId, PromotionId]]:
        given = {"ids": id_array(product_ids), "starts_at": starts_at, "ends_at": ends_at, "besides": besides}
        return [(product, promotion) for product, promotion in self._sql.fetch_all(_OVERLAPPING, given)]

    def lock_products(self, promotion_id: PromotionId) -> Sequence[PromotedProduct]:
        return [item_of(row) for row in self._sql.fetch_all(_LOCK_ITEMS, {"promotion": promotion_id})]

    def claim_due_products(self, now: datetime, limit: int) -> Sequence[PromotedProduct]:
        return [item_of(row) for row in self._sql.fetch_all(_CLAIM_ITEMS, {"now": now, "limit": limit})]

    def save_products(self, products: Collection[PromotedProduct]) -> None:
        self._sql.update(_UPDATE_ITEMS, [(item.product_id, item.promotion_id, *_changes(item)) for item in products])
        self._sql.pending_changes.products.update(
            item.product_id for item in products if item.prior_price is not None or item.status not in OPEN
        )


def _values(promotion: Promotion, names: Sequence[str]) -> Row:
    return tuple(getattr(promotion, name) for name in names)


def _changes(item: PromotedProduct) -> Row:
    return (
        item.starts_at,
        item.ends_at,
        item.status,
        item.due_at,
        _minor(item.prior_price),
        _minor(item.promoted_price),
        _minor(item.former_price),
        item.applied_at,
        item.note,
    )


def _minor(money: Money | None) -> int | None:
    return None if money is None else money.minor


def promotion_of(row: Sequence[Any]) -> Promotion:
    facts = dict(zip((*_KEPT, *_CHANGED), row, strict=True))
    return Promotion(**facts | {"status": PromotionStatus(facts["status"])})


def item_of(row: Sequence[Any]) -> PromotedProduct:
    promotion_id, product_id, starts_at, ends_at, currency, *rest = row
    price, prior, promoted, former = (None if minor is None else Money(minor, currency) for minor in rest[:4])
    percent, status, applied_at, note = rest[4:]
    return PromotedProduct(
        PromotionId(promotion_id),
        ProductId(product_id),
        starts_at,
        ends_at,
        currency,
        price,
        percent,
        PromotionStatus(status),
        prior,
        promoted,
        former,
        applied_at,
        None if note is None else PromotionNote(note),
    )
