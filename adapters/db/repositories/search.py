"""The search index: applies changes that triggers recorded to the vocabulary and the price index; saves popularity."""

from collections.abc import Mapping
from typing import Final

from sqlalchemy import func, select, text

from adapters.db.core.advisory_locks import AdvisoryLock, lock_key_column
from adapters.db.core.bulk_statements import int_array
from adapters.db.core.session import SqlSession
from scalecommerce_core.domain.identifiers import ProductId
from scalecommerce_core.domain.popularity import TOP_TIER, TOP_TIER_SIZE, VIEWS_PER_ORDER
from scalecommerce_core.ports import ProductAspect

_TRY_VOCABULARY_LOCK: Final = select(func.pg_try_advisory_xact_lock(lock_key_column(AdvisoryLock.VOCABULARY_UPDATE)))
_TRY_PRICE_INDEX_LOCK: Final = select(func.pg_try_advisory_xact_lock(lock_key_column(AdvisoryLock.PRICE_INDEX_SYNC)))

_UPDATE_VOCABULARY: Final = text(
    """
    WITH taken AS (
        DELETE FROM vocabulary_changes WHERE id IN (SELECT id FROM vocabulary_changes ORDER BY id LIMIT :limit)
        RETURNING word, products
    ), changes AS (
        SELECT word, sum(products) AS products FROM taken GROUP BY word
    ), learned AS (
        INSERT INTO vocabulary (word, products) SELECT word, products FROM changes WHERE products <> 0 ORDER BY word
        ON CONFLICT (word) DO UPDATE SET products = vocabulary.products + excluded.products
    )
    SELECT count(*) FROM taken
    """
)
# Negative counts stay: the removal of a word may have been recorded before its addition.
_DELETE_UNUSED_WORDS: Final = text("DELETE FROM vocabulary WHERE products = 0")

_TAKE_PENDING_RANGES: Final = text("DELETE FROM product_prices_pending RETURNING first_id, last_id")
_ADD_PENDING_RANGE: Final = text("INSERT INTO product_prices_pending (first_id, last_id) VALUES (:first, :last)")
_DIFFERING: Final = text(
    """
    SELECT count(*), coalesce(max(id), 0),
        array_agg(id) FILTER (WHERE (products.price, products.category_id)
            IS DISTINCT FROM (product_prices.price, product_prices.category_id))
    FROM (SELECT * FROM products WHERE id BETWEEN :first AND :last ORDER BY id LIMIT :limit) AS products
    LEFT JOIN product_prices ON product_id = id
    """
)
# Locked first, then updated from fresh values, so that the latest of concurrent price changes is kept.
_LOCK_PRICES: Final = text(
    """
    SELECT FROM product_prices WHERE product_id = ANY (CAST(:ids AS bigint[])) ORDER BY product_id FOR NO KEY UPDATE
    """
)
_SYNC_PRICES: Final = text(
    """
    UPDATE product_prices SET price = products.price, category_id = products.category_id
    FROM products WHERE product_id = ANY (CAST(:ids AS bigint[])) AND id = product_id
    """
)

_OUTDATED_POPULARITY: Final = text(
    f"""
    WITH ranked AS (
        SELECT id, prominence, count(*) OVER () AS products,
            row_number() OVER (
                ORDER BY coalesce(views + extra_weight, 0) + {VIEWS_PER_ORDER} * coalesce(orders, 0) DESC, id DESC
            ) AS place
        FROM products
        LEFT JOIN product_views ON product_views.product_id = id
        LEFT JOIN product_sales ON product_sales.product_id = id
        WHERE is_active
    ), placed AS (
        SELECT id, prominence, CASE {
        " ".join(
            f"WHEN place <= least({TOP_TIER_SIZE * 4 ** (TOP_TIER - level)}, products / {4**level}) THEN {level}"
            for level in range(TOP_TIER, 0, -1)
        )
    } ELSE 0 END AS level
        FROM ranked
    )
    SELECT id, level FROM placed WHERE prominence <> level LIMIT :limit
    """  # noqa: S608 - numbers of our own
)
_LOCK_PRODUCTS: Final = text(
    "SELECT FROM products WHERE id = ANY (CAST(:ids AS bigint[])) ORDER BY id FOR NO KEY UPDATE"
)
_SAVE_POPULARITY: Final = text(
    """
    UPDATE products SET prominence = given.level
    FROM unnest(CAST(:ids AS bigint[]), CAST(:levels AS smallint[])) AS given(id, level)
    WHERE products.id = given.id
    """
)


class PostgresSearchRepository:
    def __init__(self, sql: SqlSession) -> None:
        self._sql = sql

    def update_vocabulary(self, limit: int) -> int:
        if not self._sql.fetch_all(_TRY_VOCABULARY_LOCK)[0][0]:
            return 0
        ((learned,),) = self._sql.fetch_all(_UPDATE_VOCABULARY, {"limit": limit})
        if learned:
            self._sql.execute(_DELETE_UNUSED_WORDS)
        return int(learned)

    def sync_price_index(self, limit: int) -> int:
        if not self._sql.fetch_all(_TRY_PRICE_INDEX_LOCK)[0][0]:
            return 0
        pending = _merge_ranges([(first, last) for first, last in self._sql.fetch_all(_TAKE_PENDING_RANGES)])
        if not pending:
            return 0
        first, last = pending[0]
        ((count, reached, ids),) = self._sql.fetch_all(_DIFFERING, {"first": first, "last": last, "limit": limit})
        if ids:
            self._sql.fetch_all(_LOCK_PRICES, {"ids": int_array(ids)})
            self._sql.execute(_SYNC_PRICES, {"ids": int_array(ids)})
            # Lists that were cached since the change of the products have them in their former order.
            self._sql.pending_changes.add_aspect_of_any(ProductAspect.PRICE)
        left = [(reached + 1, last), *pending[1:]] if count == limit and reached < last else pending[1:]
        for first, last in left:
            self._sql.execute(_ADD_PENDING_RANGE, {"first": first, "last": last})
        return max(int(count), 1)

    def outdated_popularity(self, limit: int) -> Mapping[ProductId, int]:
        return {ProductId(id_): level for id_, level in self._sql.fetch_all(_OUTDATED_POPULARITY, {"limit": limit})}

    def save_popularity(self, levels: Mapping[ProductId, int]) -> None:
        ids = int_array(levels.keys())
        self._sql.fetch_all(_LOCK_PRODUCTS, {"ids": ids})
        self._sql.execute(_SAVE_POPULARITY, {"ids": ids, "levels": int_array(levels.values())})


def _merge_ranges(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Merge ranges that overlap or touch, so that the products of several ranges are checked once."""
    merged: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = merged[-1][0], max(merged[-1][1], last)
        else:
            merged.append((first, last))
    return merged
