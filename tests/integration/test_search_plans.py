"""Plans of product queries on 50,000 products: the indexes they use and the rows they touch."""

import json
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
from attrs import frozen
from sqlalchemy import Engine, text

from adapters.db.core.engine import database_engine
from adapters.db.queries.executor import QueryExecutor
from adapters.db.queries.postgres_queries import PostgresQueries
from adapters.db.queries.search.counts import ProductCounts
from adapters.db.queries.search.limits import SearchLimits
from adapters.db.queries.search.query_shape import BoundQuery, ParameterNames, QueryShape
from adapters.db.queries.search.statements import ProductSelection, ids_statement
from adapters.db.queries.search.text_queries import TextQueries
from adapters.db.store import PostgresStore
from scalecommerce_core.domain.identifiers import AccountId
from scalecommerce_core.queries import Facet, PageRequest, ProductFilter, SortOrder
from scalecommerce_core.services.search_index import SearchIndex
from tests.integration.recorded_statements import recorded_statements

PRODUCTS: Final = 50_000
LARGE: Final = {"products", "product_prices", "product_views", "stock", "vocabulary", "price_history"}

# 30 % of the products have the word "common", 1 % "usual" and 0.2 % "seldom". Each has a unique word; those of four
# letters differ from many others by one letter.
FILL: Final = (
    """
    INSERT INTO accounts (id, email, first_name, last_name, bio, is_staff, is_active, created_at)
    SELECT n, n || '@example.com', '', '', '', false, true, now() FROM generate_series(1, 500) AS n
    """,
    """
    INSERT INTO products (id, seller_id, category_id, name, brand, description, price, currency, is_active, created_at,
        updated_at, priced_at, version)
    SELECT n, 1 + n % 500, 1 + n % 20,
        concat_ws(' ', 'thing', CASE WHEN n % 10 < 3 THEN 'common' END, CASE WHEN n % 100 = 5 THEN 'usual' END,
            CASE WHEN n % 500 = 7 THEN 'seldom' END, 'w' || translate(CAST(n AS text), '0123456789', 'abcdefghij')),
        'brand' || n % 300, '', 100 + (CAST(n AS bigint) * 7919) % 100003, 'USD', true,
        now() - n * interval '1 minute', now(), now(), 1
    FROM generate_series(1, 50000) AS n
    """,
    "INSERT INTO stock SELECT id, 5, 0 FROM products",
    "UPDATE product_views SET views = (product_id * 104729) % 10007",
)


@pytest.fixture(scope="module")
def engine(make_database: Callable[[], str]) -> Iterator[Engine]:
    engine = database_engine(make_database(), statement_timeout=None)
    with engine.begin() as connection:
        for statement in FILL:
            connection.execute(text(statement))
    SearchIndex(PostgresStore(engine)).catch_up()
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
    yield engine
    engine.dispose()


@frozen
class QueryPlan:
    nodes: list[dict[str, Any]]

    @property
    def indexes(self) -> set[str]:
        return {node["Index Name"] for node in self.nodes if "Index Name" in node}

    @property
    def scanned_whole(self) -> set[str]:
        return {node["Relation Name"] for node in self.nodes if node["Node Type"] == "Seq Scan"}

    def count_reads(self, relation: str) -> int:
        """How many times a table was scanned, or looked up by an index."""
        return sum(round(node["Actual Loops"]) for node in self.nodes if node.get("Relation Name") == relation)

    @property
    def rows(self) -> int:
        """The largest number of rows that a node of the plan has touched."""
        touched = (
            round((node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"])
            for node in self.nodes
        )
        return int(max(touched))

    @property
    def blocks(self) -> int:
        """The number of pages of tables and indexes that were read."""
        return int(self.nodes[0]["Shared Hit Blocks"] + self.nodes[0]["Shared Read Blocks"])


def _plans(
    engine: Engine, read: Callable[[PostgresQueries], object], limits: SearchLimits | None = None
) -> list[QueryPlan]:
    """Return the plans of all statements of a query, from a second execution."""
    with recorded_statements() as statements:
        read(PostgresQueries(engine, limits=limits))
    # Statements that are only explained do not run.
    seen = [(sql, parameters) for sql, parameters in statements if not sql.startswith("EXPLAIN")]
    plans = []
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        for statement, parameters in seen:
            explained = driver.execute(
                f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", parameters, prepare=False
            )
            (found,) = explained.fetchone()
            found = json.loads(found) if isinstance(found, str) else found
            plans.append(QueryPlan(list(_nodes(found[0]["Plan"]))))
    return plans


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from _nodes(part)


def _search(wanted: ProductFilter, page: PageRequest | None = None) -> Callable[[PostgresQueries], object]:
    return lambda queries: queries.search(wanted, page or PageRequest())


def _deep(engine: Engine, wanted: ProductFilter, pages: int = 60) -> PageRequest:
    """Return the request of a page that begins after `pages` pages of 100 products."""
    queries, request = PostgresQueries(engine), PageRequest(100)
    for _ in range(pages):
        request = PageRequest(100, after=queries.search(wanted, request).next)
    return PageRequest(after=request.after)


RELEVANT: Final = SortOrder.RELEVANCE
READS: Final = {
    # name: (query, index that must be used, number of rows that may be touched)
    "newest": (ProductFilter(), "products_newest_idx", 25),
    "oldest": (ProductFilter(sort_order=SortOrder.CREATED), "products_newest_idx", 25),
    "cheapest": (ProductFilter(sort_order=SortOrder.PRICE), "product_prices_price_idx", 25),
    "dearest": (ProductFilter(sort_order=SortOrder.PRICE_DESC), "product_prices_price_idx", 25),
    "most viewed": (ProductFilter(sort_order=SortOrder.VIEWED_DESC), "product_views_most_idx", 25),
    "newest of a category": (ProductFilter(categories=[5]), "products_category_newest_idx", 25),
    "newest of a brand": (ProductFilter(brands=["brand7"]), "products_brand_newest_idx", 25),
    "newest of a seller": (ProductFilter(seller=AccountId(7)), "products_seller_newest_idx", 25),
    "cheapest of a category": (
        ProductFilter(categories=[5], sort_order=SortOrder.PRICE), "product_prices_category_idx", 25,
    ),
    "cheapest from a price on": (
        ProductFilter(price_min=90_000, sort_order=SortOrder.PRICE), "product_prices_price_idx", 25,
    ),
    "newest in a narrow band of prices": (
        ProductFilter(price_min=50_000, price_max=50_100), "product_prices_price_idx", 200,
    ),
    "newest in stock": (ProductFilter(in_stock=True), "products_newest_idx", 25),
    "a word of every product": (ProductFilter(search="thing", sort_order=RELEVANT), "products_document_4_idx", 600),
    "a common word": (ProductFilter(search="common", sort_order=RELEVANT), "products_document_3_idx", 600),
    "a usual word": (ProductFilter(search="usual", sort_order=RELEVANT), "products_document_idx", 600),
    # This search also looks up similar words.
    "a rare word": (ProductFilter(search="wbcde", sort_order=RELEVANT), "products_document_idx", 400),
    "two words": (ProductFilter(search="common seldom", sort_order=RELEVANT), "products_document_idx", 200),
    "a phrase": (ProductFilter(search='"thing common"', sort_order=RELEVANT), "products_document_3_idx", 600),
    "a common word, cheapest first": (
        ProductFilter(search="common", sort_order=SortOrder.PRICE), "product_prices_price_idx", 200,
    ),
    "a rare word, cheapest first": (
        ProductFilter(search="seldom", sort_order=SortOrder.PRICE), "products_document_idx", 200,
    ),
    "a usual word, most viewed first": (
        ProductFilter(search="usual", sort_order=SortOrder.VIEWED_DESC), "products_document_idx", 600,
    ),
    "a typo": (ProductFilter(search="selddom", sort_order=RELEVANT), "vocabulary_variants_idx", 200),
    "two typos": (ProductFilter(search="wbbcdexyz", sort_order=RELEVANT), "vocabulary_typos_idx", 2_000),
    "a beginning": (ProductFilter(search="seld", sort_order=RELEVANT), "vocabulary_pk", 200),
    "an exclusion": (ProductFilter(search="-common"), "products_newest_idx", 60),
}  # fmt: skip


@pytest.mark.parametrize("name", READS)
def test_reads_use_their_index_and_touch_few_rows(engine: Engine, name: str) -> None:
    wanted, index, rows = READS[name]
    plans = _plans(engine, _search(wanted))
    assert index in set[str]().union(*(plan.indexes for plan in plans))
    for plan in plans:
        assert not plan.scanned_whole & LARGE
    assert max(plan.rows for plan in plans) <= rows


def test_unknown_words_are_looked_up_in_one_statement(engine: Engine) -> None:
    alone, many = (
        _plans(engine, _search(ProductFilter(search=search, sort_order=RELEVANT)))
        for search in ("zzqa", "zzqa zzqb zzqc zzqd zzqe zzqf zzqg zzqh")
    )
    assert len(many) <= len(alone)
    assert max(plan.rows for plan in many) <= 100


def test_unknown_words_are_looked_up_by_the_index(engine: Engine) -> None:
    scanned = text("SELECT seq_scan, idx_scan, idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'products'")
    with engine.connect() as connection:
        begin = connection.execute(scanned).one()
        assert connection.execute(text("SELECT is_sold_as('zzqa'), is_sold_as('common')")).one() == (False, True)
        end = connection.execute(scanned).one()
    assert end.seq_scan == begin.seq_scan
    assert end.idx_scan > begin.idx_scan


def test_the_planner_estimates_how_many_products_are_in_stock(engine: Engine) -> None:
    found = PostgresQueries(engine).search(ProductFilter(in_stock=True), PageRequest(5))
    assert not found.is_exact
    assert found.total == pytest.approx(PRODUCTS, rel=0.1)


@pytest.mark.parametrize(
    "wanted",
    [
        ProductFilter(),
        ProductFilter(sort_order=SortOrder.PRICE),
        ProductFilter(sort_order=SortOrder.VIEWED_DESC),
        ProductFilter(categories=[5], sort_order=SortOrder.PRICE_DESC),
        ProductFilter(search="common", sort_order=SortOrder.RELEVANCE),
        ProductFilter(search="common", sort_order=SortOrder.PRICE),
    ],
    ids=lambda wanted: f"{wanted.search} {wanted.sort_order}",
)
def test_a_late_page_touches_no_more_rows_than_the_first(engine: Engine, wanted: ProductFilter) -> None:
    first = _plans(engine, _search(wanted))
    deep = _plans(engine, _search(wanted, _deep(engine, wanted, 20)))
    assert len(deep) <= len(first)
    rows = [max(plan.rows for plan in plans) for plans in (first, deep)]
    assert rows[1] <= max(1.2 * rows[0], 120)


def test_unranked_pages_are_read_from_their_first_row_on(engine: Engine) -> None:
    wanted = ProductFilter(search="thing", sort_order=SortOrder.RELEVANCE)
    near, far = (
        sum(plan.blocks for plan in _plans(engine, _search(wanted, _deep(engine, wanted, pages))))
        for pages in (20, 400)
    )
    assert far <= 1.2 * near


@pytest.mark.parametrize("search", ["thing", "common", "seldom", None])
def test_facets_count_no_more_than_their_cap(engine: Engine, search: str | None) -> None:
    plans = _plans(engine, lambda queries: queries.facets(ProductFilter(search=search), list(Facet)))
    assert max(plan.rows for plan in plans) <= 15_000


def test_facets_above_the_cap_are_marked_as_approximate_and_close_to_the_counts(engine: Engine) -> None:
    queries = PostgresQueries(engine)
    for wanted, total in ((ProductFilter(), PRODUCTS), (ProductFilter(search="common"), PRODUCTS * 3 / 10)):
        counts = queries.facets(wanted, [Facet.CATEGORY])
        assert not counts.is_exact
        assert sum(value.count for value in counts.values[Facet.CATEGORY]) == pytest.approx(total, rel=0.1)
        assert queries.search(wanted, PageRequest()).total == pytest.approx(total, rel=0.1)
    assert queries.facets(ProductFilter(search="usual"), [Facet.CATEGORY]).is_exact


@pytest.mark.parametrize(
    ("required", "excluded"),
    [
        ([["common"]], []),
        ([["seldom"]], []),
        ([["Wbcde"]], []),
        ([["common"], ["usual"]], []),
        ([["common", "usual", "unheard"]], []),
        ([["common thing"], ["usual"]], []),
        ([["common"]], [["usual"], ["seldom", "thing"]]),
        ([["wi-fi", "wifi"]], []),
        ([["the"]], []),
        ([["the"], ["usual"]], []),
    ],
)
def test_estimates_from_statistics_are_those_of_the_planner(
    engine: Engine, required: list[list[str]], excluded: list[list[str]]
) -> None:
    values: dict[str, object] = {}

    def named(kind: str, terms: list[list[str]]) -> ParameterNames:
        for term, texts in enumerate(terms):
            values.update({f"{kind}_{term}_{number}": each for number, each in enumerate(texts)})
        return tuple(tuple(f"{kind}_{term}_{number}" for number in range(len(each))) for term, each in enumerate(terms))

    shape = QueryShape(RELEVANT, required=named("required", required), excluded=named("excluded", excluded))
    executor = QueryExecutor(engine)
    with recorded_statements() as statements:
        estimate = ProductCounts(executor, SearchLimits(), TextQueries(executor)).estimate(BoundQuery(shape, values))
    assert not [sql for sql, _ in statements if sql.startswith("EXPLAIN")]
    assert estimate == executor.estimate_rows(ids_statement(ProductSelection(shape)), values)


def test_ranking_looks_up_the_stock_of_about_one_page(engine: Engine) -> None:
    # All of the candidates, about 500, are in stock and have the same score.
    plans = _plans(engine, _search(ProductFilter(search="common", sort_order=RELEVANT)))
    (ranking,) = (plan for plan in plans if "products_document_3_idx" in plan.indexes)
    assert ranking.count_reads("stock") <= 25


def test_rare_matches_that_were_expected_to_be_many_are_ranked_without_a_walk(engine: Engine) -> None:
    # A word without statistics is expected more often than once.
    limits = SearchLimits(rank_all=0, target_candidates=20)
    wanted = ProductFilter(search="wbcde", sort_order=RELEVANT)
    plans = _plans(engine, _search(wanted), limits)
    assert max(plan.rows for plan in plans) <= 400
    assert not any("products_prominent_idx" in plan.indexes for plan in plans)
    found = PostgresQueries(engine, limits=limits).search(wanted, PageRequest())
    assert (found.total, found.is_exact) == (1, True)


@pytest.mark.parametrize("search", ["thing", "common", "usual"])
def test_totals_of_searches_are_close_to_the_counts(engine: Engine, search: str) -> None:
    answer = PostgresQueries(engine).search(ProductFilter(search=search, sort_order=RELEVANT), PageRequest())
    assert answer.total == pytest.approx({"thing": 1.0, "common": 0.3, "usual": 0.01}[search] * PRODUCTS, rel=0.1)
    assert answer.is_exact is (search == "usual")
