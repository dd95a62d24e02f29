"""The cache of statements of searches, whose shapes clients choose."""

import pytest
from sqlalchemy import Integer, bindparam, select, text

from adapters.db.queries import statement_cache
from adapters.db.queries.search.query_shape import QueryShape
from adapters.db.queries.search.statements import ProductSelection, Ranking, ids_statement, ranked_slice, sorted_slice
from adapters.db.queries.search.ttl_cache import cache_key
from adapters.db.queries.statement_cache import ENTRY_OVERHEAD, CachedStatement, StatementCache
from adapters.db.schema import products
from scalecommerce_core.queries import SortOrder


def shape(texts: int, number: int = 0) -> QueryShape:
    """A shape of one term with this number of texts; shapes of different numbers differ."""
    names = (tuple(f"required_{number}_{text}" for text in range(texts)),)
    return QueryShape(SortOrder.RELEVANCE, required=names, excluded=(), phrase_forms=names)


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> StatementCache:
    cache = StatementCache(20 * ENTRY_OVERHEAD)
    monkeypatch.setattr(statement_cache, "STATEMENTS", cache)
    return cache


def test_a_statement_is_compiled_once_for_a_shape(statements: StatementCache) -> None:
    first, second = (ranked_slice(Ranking(ProductSelection(shape(2))), has_cursor=False, backwards=False) for _ in "ab")
    assert first is second
    assert ranked_slice(Ranking(ProductSelection(shape(2))), has_cursor=True, backwards=False) is not first
    # Another function with the same arguments builds another statement.
    assert ids_statement(ProductSelection(shape(2))).sql != first.sql
    assert len(statements) == 3


def test_statements_of_all_kinds_share_a_limit_in_bytes(statements: StatementCache) -> None:
    kept = ids_statement(ProductSelection(shape(1)))
    for number in range(50):
        ids_statement(ProductSelection(shape(2, number)))
        sorted_slice(shape(2, number), select_first=False, has_cursor=False, backwards=False)
        assert ids_statement(ProductSelection(shape(1))) is kept, "a statement in use stays"
    assert 10 * ENTRY_OVERHEAD < statements.size_bytes <= 20 * ENTRY_OVERHEAD
    assert len(statements) < 20


def test_a_statement_above_the_limit_is_compiled_and_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    cache = StatementCache(ENTRY_OVERHEAD)
    monkeypatch.setattr(statement_cache, "STATEMENTS", cache)
    assert ids_statement(ProductSelection(shape(1))).sql
    assert len(cache) == 0


def test_lists_of_values_are_expanded_for_each_execution() -> None:
    chosen = products.c.category_id.in_(bindparam("categories", expanding=True))
    brands = products.c.brand.in_(bindparam("brands", expanding=True))
    price = products.c.price > bindparam("price", type_=Integer)
    statement = CachedStatement.compile(select(products.c.id).where(chosen, brands, price).limit(5))
    sql, values = statement.bind({"categories": (3, 5), "brands": ("A%",), "price": 1})
    assert "IN (%(categories_0)s::INTEGER, %(categories_1)s::INTEGER)" in sql
    assert {**values} == {"param_1": 5, "price": 1, "categories_0": 3, "categories_1": 5, "brands_0": "A%"}
    # The next execution has other numbers of values.
    sql, values = statement.bind({"categories": (3,), "brands": ("A", "B"), "price": 1})
    assert "IN (%(categories_0)s::INTEGER)" in sql
    assert "categories_1" not in values


def test_keys_of_cached_figures_have_one_size() -> None:
    keys = {cache_key(ProductSelection(shape(texts)), {"required_0_0": "a" * texts}) for texts in range(1, 40)}
    assert {len(key) for key in keys} == {16}
    assert len(keys) == 39
    assert cache_key("\ud800") != cache_key("\ud801")


def test_a_text_is_compiled_to_the_form_of_the_driver() -> None:
    statement = CachedStatement.compile(text("SELECT products FROM vocabulary WHERE word = :word AND word <> '100%'"))
    sql, values = statement.bind({"word": "kettle"})
    assert sql == "SELECT products FROM vocabulary WHERE word = %(word)s AND word <> '100%%'"
    assert values == {"word": "kettle"}
