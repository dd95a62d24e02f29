"""The index as the executor of a query: what it answers, and what it leaves to the statement."""

import gc
import logging
import weakref
from collections.abc import Collection, Mapping
from typing import Any, cast

import pytest
from attrs import define

from adapters.db.queries.executor import QueryExecutor
from adapters.db.queries.search.index.building import SegmentBuilder
from adapters.db.queries.search.index.execution import IndexExecution
from adapters.db.queries.search.index.product_index import ProductIndex
from adapters.db.queries.search.index.product_row import ProductRow
from adapters.db.queries.search.query_shape import BoundQuery, QueryShape
from adapters.db.queries.search.text_queries import TextQueries
from scalecommerce_core.queries import Facet, SortOrder

TEA = BoundQuery(
    QueryShape(SortOrder.RELEVANCE, required=(("tea",),), excluded=(), phrase_forms=(("tea",),)), {"tea": "tea"}
)


@define
class Server:
    """The index of a process, the texts of the database, and its categories."""

    index: Any
    categories: Mapping[int, str]

    def current(self) -> Any:
        return self.index

    def choose_list_horizon(self) -> int | None:
        return None

    def use_list_horizon(self, horizon: int) -> None: ...

    def read(self, texts: Collection[str]) -> Mapping[str, str]:
        return {text: f"'{text}'" for text in texts}

    def fetch(self, _statement: object, _parameters: object) -> list[tuple[int, str]]:
        return [*self.categories.items()]


class BrokenIndex:
    def __getattr__(self, name: str) -> Any:
        raise IndexError(f"damaged: {name}")


def _execution(server: Server) -> IndexExecution:
    return IndexExecution(server, cast("QueryExecutor", server), cast("TextQueries", server))


def _index() -> ProductIndex:
    rows = [ProductRow(id_, id_, "", 1, 500, "USD", 1, 0, "'tea':1A") for id_ in (1, 2)]
    return ProductIndex.of(SegmentBuilder().add(rows).build())


def test_a_category_that_the_server_does_not_have_is_left_out() -> None:
    found = _execution(Server(_index(), {2: "Teas"})).facets(TEA, [Facet.CATEGORY], "USD")
    assert found is not None
    assert [row for row in found.rows if row[0] is Facet.CATEGORY] == [(Facet.CATEGORY, 2, "Teas", 1)]


def test_a_failed_index_leaves_searches_to_statements_and_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    execution = _execution(Server(BrokenIndex(), {}))
    with caplog.at_level(logging.ERROR):
        for _ in range(2):
            assert execution.count(TEA.shape, TEA.values) is None
    assert [record.message for record in caplog.records] == ["the search index failed; searches run in PostgreSQL"]
    assert execution.ranked_rows(TEA, (0, None), (), 10, backwards=False) is None
    assert execution.unranked_rows(TEA, 1, (), 10, backwards=False) is None
    assert execution.facets(TEA, [Facet.BRAND], "USD") is None


def test_a_replaced_index_is_not_kept_by_the_thread_of_a_search() -> None:
    server = Server(_index(), {})
    execution = _execution(server)
    assert execution.count(TEA.shape, TEA.values) == 2
    former = weakref.ref(server.index)
    server.index = _index().with_changes([], removed=[1])
    gc.collect()
    assert former() is None
    assert execution.count(TEA.shape, TEA.values) == 1
