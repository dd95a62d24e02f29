"""Random catalogs, changes and queries: the index gives the same results as the rules in plain Python."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.db.queries.search.index.building import SegmentBuilder
from adapters.db.queries.search.index.product_index import MERGE_RATIO, ProductIndex
from adapters.db.queries.search.index.product_row import ProductRow
from adapters.db.queries.search.index.query import IndexFilters, IndexQuery, Phrase, TermQuery
from adapters.db.queries.search.index.ranked_page import ranked_page
from adapters.db.queries.search.index.segment import Segment
from scalecommerce_core.domain.popularity import TOP_TIER
from scalecommerce_core.queries import MAX_FACET_VALUES
from tests.unit.adapters.db.queries.search.index.naive_index import NaiveIndex

LEXEMES = ("tea", "blue", "чай", "it's", "pot")
CURRENCIES = ("USD", "EUR")
IDS = st.integers(1, 30)
TIERS = st.integers(0, TOP_TIER)
TIMES = st.integers(1_700_000_000_000_000, 1_700_000_000_000_005)


@st.composite
def documents(draw: st.DrawFn) -> str:
    words: dict[str, list[str]] = {}
    for position, lexeme in enumerate(draw(st.lists(st.sampled_from(LEXEMES), max_size=7)), start=1):
        words.setdefault(lexeme, []).append(f"{position}{draw(st.sampled_from(('A', 'A', 'B', 'C', '')))}")
    quoted = ((lexeme.replace("'", "''"), ",".join(where)) for lexeme, where in sorted(words.items()))
    return " ".join(f"'{lexeme}':{where}" for lexeme, where in quoted)


ROWS = st.builds(
    ProductRow,
    id=IDS,
    category_id=st.integers(1, 3) | st.just(2**31 - 1),
    brand=st.sampled_from(("", "Acme", "Бренд", "Kraft")),
    seller_id=st.integers(1, 3),
    price=st.sampled_from((0, 500, 999, 1000, 2499, 2500, 99_00, 5000_00, 2**40)),
    currency=st.sampled_from(CURRENCIES),
    created_at=TIMES,
    tier=TIERS,
    document=documents(),
)
CATALOGS = st.lists(ROWS, max_size=30, unique_by=lambda row: row.id)
CHANGES = st.lists(
    st.tuples(st.lists(ROWS, max_size=4, unique_by=lambda row: row.id), st.frozensets(IDS, max_size=3))
    | st.dictionaries(IDS, TIERS)
    | st.dictionaries(IDS, st.sampled_from((500, 2500, 2**40))).map(lambda prices: [prices]),
    max_size=4,
)


@st.composite
def phrases(draw: st.DrawFn) -> Phrase:
    lexemes = draw(st.lists(st.sampled_from((*LEXEMES, "unknown")), max_size=3))
    distances = [0, *(draw(st.sampled_from((1, 1, 2))) for _ in lexemes[1:])]
    return Phrase(tuple(lexemes), tuple(distances[: len(lexemes)]))


@st.composite
def terms(draw: st.DrawFn) -> TermQuery:
    texts = draw(st.lists(phrases(), min_size=1, max_size=3))
    return TermQuery(tuple(texts), tuple(texts[: draw(st.integers(1, 3))]))


def optional(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | st.none() | st.none() | values


QUERIES = st.builds(
    IndexQuery,
    required=st.lists(terms(), min_size=1, max_size=3).map(tuple),
    excluded=st.lists(terms(), max_size=1).map(tuple),
    filters=st.builds(IndexFilters)
    | st.builds(
        IndexFilters,
        price_min=optional(st.sampled_from((500, 1000))),
        price_max=optional(st.sampled_from((1000, 99_00))),
        currency=optional(st.sampled_from((*CURRENCIES, "GBP"))),
        categories=optional(st.frozensets(st.integers(0, 6), min_size=1)),
        brands=optional(st.frozensets(st.sampled_from(("Acme", "Бренд", "", "None")), min_size=1)),
        seller=optional(st.integers(1, 4)),
        created_after=optional(TIMES),
        created_before=optional(TIMES),
    ),
)


@given(CATALOGS, CHANGES, st.lists(QUERIES, min_size=1, max_size=3))
@settings(deadline=None)
def test_results_after_changes_are_those_of_the_rules(
    catalog: list[ProductRow], changes: list[Any], queries: list[IndexQuery]
) -> None:
    index, naive = ProductIndex.of(SegmentBuilder().add(catalog).build()), NaiveIndex()
    naive.change(catalog, ())
    check(index, naive, queries)
    for change in changes:
        index = changed(index, naive, change)
        assert index.documents == len(naive.rows)
    check(index, naive, queries)


def changed(index: ProductIndex, naive: NaiveIndex, change: Any) -> ProductIndex:
    if isinstance(change, tuple):
        rows, removed = change
        naive.change(rows, removed - {row.id for row in rows})
        return index.with_changes(rows, removed)
    if isinstance(change, Mapping):
        naive.rows = {id_: row._replace(tier=change.get(id_, 0)) for id_, row in naive.rows.items()}
        return index.with_tiers(*columns(change))
    (prices,) = change
    naive.rows = {id_: row._replace(price=prices.get(id_, row.price)) for id_, row in naive.rows.items()}
    return index.with_prices(*columns(prices))


def columns(values: Mapping[int, int]) -> tuple[Any, Any]:
    return np.array([*values], np.int64), np.array([*values.values()], np.int64)


def check(index: ProductIndex, naive: NaiveIndex, queries: list[IndexQuery]) -> None:
    for query in queries:
        assert index.count(query) == len(naive.find(query))
        assert index.facets(query, "USD") == naive.facets(query, "USD")
        for tier in range(TOP_TIER + 1):
            ranking, expected = index.rank(query, tier), naive.ranked(query, tier)
            assert ranking.count == len(expected)
            assert list(zip(ranking.points.tolist(), ranking.ids.tolist(), strict=True)) == expected
            if expected:
                assert index.rank(query, tier, len(expected) - 1).count == len(expected)
                assert not len(index.rank(query, tier, len(expected) - 1).ids)
        for below in (None, 0, 1, TOP_TIER):
            rows = naive.unranked(query, below)
            assert index.unranked(query, below, 100) == rows
            for place, cursor in enumerate(rows):
                assert index.unranked(query, below, 2, cursor) == rows[place + 1 : place + 3]
                above = rows[max(place - 2, 0) : place][::-1]
                assert index.unranked(query, below, 2, cursor, backwards=True) == above


@given(CATALOGS, QUERIES, st.frozensets(IDS), st.integers(1, 5))
@settings(deadline=None)
def test_pages_of_candidates_with_their_stock_are_those_of_the_rules(
    catalog: list[ProductRow], query: IndexQuery, in_stock: frozenset[int], limit: int
) -> None:
    index, naive = ProductIndex.of(SegmentBuilder().add(catalog).build()), NaiveIndex()
    naive.change(catalog, ())
    ranking = index.rank(query)
    found: list[tuple[int, int]] = []
    looked_up: list[int] = []

    def find_in_stock(ids: list[int]) -> frozenset[int]:
        looked_up.extend(ids)
        return in_stock & {*ids}

    while True:
        cursor = found[-1] if found else None
        looked_up.clear()
        rows = ranked_page(ranking, limit, cursor, find_in_stock)
        assert rows == naive.page(query, 0, in_stock, cursor, limit)
        assert len(looked_up) == len({*looked_up})
        if rows and cursor is not None:
            before = ranked_page(ranking, limit, rows[0], find_in_stock, backwards=True)
            assert before == found[::-1][:limit]
        if not rows:
            break
        found += rows
    assert found == naive.page(query, 0, in_stock, None, len(catalog))


@pytest.mark.parametrize(("sold_out", "look_ups"), [(0, 1), (10, 1), (11, 2), (200, 3)])
def test_stock_is_looked_up_for_about_a_page(sold_out: int, look_ups: int) -> None:
    rows = [row(number, "'tea':1A") for number in range(1, 201)]
    ranking = ProductIndex.of(SegmentBuilder().add(rows).build()).rank(QUERY)
    looked_up: list[list[int]] = []

    def find_in_stock(ids: list[int]) -> list[int]:
        looked_up.append(ids)
        return [id_ for id_ in ids if id_ <= 200 - sold_out]

    page = ranked_page(ranking, 20, None, find_in_stock)
    assert [id_ for _, id_ in page] == list(range(200 - sold_out % 200, 180 - sold_out % 200, -1))
    assert looked_up[0] == list(range(200, 170, -1))
    assert len(looked_up) == look_ups


@given(CATALOGS, CHANGES, st.lists(QUERIES, min_size=1, max_size=3))
@settings(deadline=None, max_examples=20)
def test_a_segment_from_its_files_is_the_one_that_was_written(
    tmp_path_factory: pytest.TempPathFactory, catalog: list[ProductRow], changes: list[Any], queries: list[IndexQuery]
) -> None:
    directory = tmp_path_factory.mktemp("segment") / "files"
    SegmentBuilder().add(catalog).build().write(directory)
    index, naive = ProductIndex.of(Segment.open(directory)), NaiveIndex()
    naive.change(catalog, ())
    for change in changes:
        index = changed(index, naive, change)
    check(index, naive, queries)


@pytest.mark.parametrize("share", [0, 0.5, 0.99])
def test_a_truncated_file_is_refused(tmp_path: Path, share: float) -> None:
    SegmentBuilder().add([row(1, "'tea':1A")]).build().write(tmp_path / "files")
    file = tmp_path / "files" / "columns.ids.npy"
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * share)])
    with pytest.raises(ValueError, match=r"columns\.ids\.npy is damaged; the index is rebuilt"):
        Segment.open(tmp_path / "files")


def test_a_directory_that_lacks_a_file_is_refused(tmp_path: Path) -> None:
    SegmentBuilder().add([row(1, "'tea':1A")]).build().write(tmp_path / "files")
    (tmp_path / "files" / "brands.text.npy").unlink()
    with pytest.raises(ValueError, match=r"lacks brands\.text; the index is rebuilt"):
        Segment.open(tmp_path / "files")


def test_many_changes_leave_few_segments() -> None:
    index = ProductIndex.of(SegmentBuilder().add([row(id_, "'tea':1A") for id_ in range(1, 2001)]).build())
    for id_ in range(1, 601):
        index = index.with_changes([row(id_, "'pot':1A")])
    assert index.count(QUERY) == 1400
    assert index.count(evolve(QUERY, required=(term("pot"),))) == 600
    assert (index.documents, index.added) == (2000, 600)
    assert index.segments <= 2 + 3  # 600 < MERGE_RATIO ** 4
    assert MERGE_RATIO**4 > 600


def test_equally_frequent_brands_are_those_first_in_their_order() -> None:
    rows = [row(id_, "'tea':1A")._replace(brand=f"Brand {id_ % 200:03}") for id_ in range(1, 401)]
    added = [row(id_, "'tea':1A")._replace(brand=brand) for id_, brand in enumerate(("Alpha", "Omega") * 2, start=1000)]
    more = [row(2000, "'tea':1A")._replace(brand="Brand 199"), row(2001, "'tea':1A")._replace(brand="Beta")]
    index = ProductIndex.of(SegmentBuilder().add(rows).build()).with_changes(added).with_changes(more)
    brands = ["Alpha", *(f"Brand {number:03}" for number in range(MAX_FACET_VALUES - 2))]
    assert index.facets(QUERY, "USD").brands == [("Brand 199", 3), *((brand, 2) for brand in brands)]


def test_a_sample_of_facets_is_evenly_chosen() -> None:
    rows = [row(id_, "'tea':1A")._replace(tier=id_ % 5, category_id=id_ % 10) for id_ in range(1, 10_001)]
    index = ProductIndex.of(SegmentBuilder().add(rows).build())
    sample = index.facets(QUERY, "USD", at_most=1_500)
    assert (sample.matches, sample.size) == (10_000, 1_429)
    assert sum(sample.categories.values()) == sum(sample.prices.values()) == 1_429
    assert min(sample.categories.values()) >= 140
    assert index.facets(QUERY, "USD", at_most=10_000) == index.facets(QUERY, "USD")


def test_positions_up_to_the_highest_of_postgresql_are_distinguished() -> None:
    rows = [row(1, "'pot':16383C 'tea':16382C"), row(2, "'pot':16383C 'tea':16381C"), row(3, "'pot':256C 'tea':255C")]
    index = ProductIndex.of(SegmentBuilder().add(rows).build())
    phrase = TermQuery((Phrase.parse("'tea' <-> 'pot'"),))
    assert index.rank(IndexQuery((phrase,))).ids.tolist() == [3, 1]


def test_lexemes_without_positions_are_in_no_phrase() -> None:
    index = ProductIndex.of(SegmentBuilder().add([row(1, "'pot':1A 'tea'"), row(2, "'pot' 'tea'")]).build())
    assert index.count(QUERY) == 2
    for phrase in ("'tea' <-> 'pot'", "'tea' <0> 'pot'"):
        assert index.count(IndexQuery((TermQuery((Phrase.parse(phrase),)),))) == 0


def row(id_: int, document: str) -> ProductRow:
    return ProductRow(id_, 1, "Acme", 1, 500, "USD", 1_700_000_000_000_000, 0, document)


def term(lexeme: str) -> TermQuery:
    phrase = Phrase((lexeme,), (0,))
    return TermQuery((phrase,), (phrase,))


QUERY = IndexQuery((term("tea"),))
