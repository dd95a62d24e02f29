"""The cache of statements of searches, whose shapes clients choose."""

import pytest
from sqlalchemy import Select, select

from adapters.db.queries import statement_cache
from adapters.db.queries.search.query_shape import QueryShape
from adapters.db.queries.search.statements import ProductSelection, Ranking, ids_statement, ranked_slice, sorted_slice
from adapters.db.queries.search.ttl_cache import cache_key
from adapters.db.queries.statement_cache import BASE_BYTES, BYTES_PER_TEXT, CachedStatement, StatementCache
from scalecommerce_core.queries import SortOrder


def shape(texts: int, number: int = 0) -> QueryShape:
    """A shape of one term with this number of texts; shapes of different numbers differ."""
    names = (tuple(f"required_{number}_{text}" for text in range(texts)),)
    return QueryShape(SortOrder.RELEVANCE, required=names, excluded=(), phrase_forms=names)


@pytest.fixture
def statements(monkeypatch: pytest.MonkeyPatch) -> StatementCache:
    cache = StatementCache(20 * BASE_BYTES)
    monkeypatch.setattr(statement_cache, "STATEMENTS", cache)
    return cache


def test_a_statement_is_built_once_for_a_shape(statements: StatementCache) -> None:
    first, second = (ranked_slice(Ranking(ProductSelection(shape(2))), has_cursor=False, backwards=False) for _ in "ab")
    assert first is second
    assert ranked_slice(Ranking(ProductSelection(shape(2))), has_cursor=True, backwards=False) is not first
    # Another function with the same arguments builds another statement.
    assert ids_statement(ProductSelection(shape(2))).select is not first.select
    assert statements.size_bytes == 3 * (BASE_BYTES + 2 * BYTES_PER_TEXT)


def test_statements_of_all_kinds_share_a_limit_in_bytes(statements: StatementCache) -> None:
    kept = ids_statement(ProductSelection(shape(1)))
    for number in range(100):
        ids_statement(ProductSelection(shape(8, number)))
        sorted_slice(shape(8, number), select_first=False, has_cursor=False, backwards=False)
        assert ids_statement(ProductSelection(shape(1))) is kept, "a statement in use stays"
    assert 10 * BASE_BYTES < statements.size_bytes <= 20 * BASE_BYTES


def test_a_statement_above_the_limit_is_built_and_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    cache = StatementCache(BASE_BYTES)
    monkeypatch.setattr(statement_cache, "STATEMENTS", cache)
    assert isinstance(ids_statement(ProductSelection(shape(1))).select, Select)
    assert cache.size_bytes == 0


def test_a_statement_has_one_compiled_form() -> None:
    compiled = CachedStatement(select(1)).compiled
    for key in range(3):
        compiled[key] = object()
    assert list(compiled) == [2]


def test_keys_of_cached_figures_have_one_size() -> None:
    keys = {cache_key(ProductSelection(shape(texts)), {"required_0_0": "a" * texts}) for texts in range(1, 40)}
    assert {len(key) for key in keys} == {16}
    assert len(keys) == 39
    assert cache_key("\ud800") != cache_key("\ud801")
