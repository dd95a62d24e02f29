"""Matches, points and phrases in the index compared with those of PostgreSQL, for random texts.

`SEARCH_COMBINATIONS=10000 .venv/bin/pytest tests/integration/test_search_index_text.py` compares more queries;
`SEARCH_SEED` selects other ones.
"""

import os
import random
from collections.abc import Iterator, Sequence
from typing import Final

import psycopg
import pytest

from adapters.db.queries.search.index.building import SegmentBuilder
from adapters.db.queries.search.index.product_index import ProductIndex
from adapters.db.queries.search.index.product_row import ProductRow
from adapters.db.queries.search.index.query import IndexQuery, Phrase, TermQuery
from scalecommerce_core.domain.relevance import BRAND_WEIGHT, DESCRIPTION_WEIGHT, NAME_WEIGHT, PHRASE_WEIGHT

COMBINATIONS: Final = int(os.environ.get("SEARCH_COMBINATIONS", "300"))
SEED: Final = int(os.environ.get("SEARCH_SEED", "5"))
DOCUMENTS: Final = 300
WORDS: Final = ("tea", "teas", "pot", "pots", "blue", "чай", "чайник", "чайники", "1.5", "o'clock", "x200")
STOP_WORDS: Final = ("the", "of", "и", "не")
# A document with more words than PostgreSQL has positions for.
LONG_TEXT: Final = "blue tea " * 8_200 + "pot"

_TEXTS: Final = "SELECT CAST(phraseto_tsquery('market', each) AS text) FROM unnest(CAST(%s AS text[])) AS each"
# As `adapters/db/queries/search/statements.py` computes them.
_POINTS: Final = r"""
    CASE WHEN document @@ CAST(regexp_replace(CAST({query} AS text), '''(?= |$)', ''':A', 'g') AS tsquery) THEN %s
    WHEN document @@ CAST(regexp_replace(CAST({query} AS text), '''(?= |$)', ''':AB', 'g') AS tsquery) THEN %s
    ELSE %s END
"""
Term = tuple[str, ...]
"""Alternative texts."""


@pytest.fixture
def connection(database: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database.replace("+psycopg", "")) as connection:
        connection.execute("CREATE TEMPORARY TABLE texts (id bigint PRIMARY KEY, document tsvector NOT NULL)")
        yield connection


def test_matches_and_points_are_those_of_postgresql(connection: psycopg.Connection) -> None:
    chance = random.Random(SEED)
    with connection.cursor() as cursor:
        cursor.executemany(
            """
            INSERT INTO texts SELECT %s, setweight(to_tsvector('market', %s), 'A')
                || setweight(to_tsvector('market', %s), 'B') || setweight(to_tsvector('market', %s), 'C')
            """,
            [(id_, _text(chance, 4), _text(chance, 2), _text(chance, 8)) for id_ in range(1, DOCUMENTS + 1)]
            + [(DOCUMENTS + 1, LONG_TEXT, "", "")],
        )
    rows = connection.execute("SELECT id, CAST(document AS text) FROM texts").fetchall()
    index = ProductIndex.of(
        SegmentBuilder().add(ProductRow(id_, 1, "", 1, 1, "USD", 1, 0, text) for id_, text in rows).build()
    )
    matched = 0
    for _ in range(COMBINATIONS):
        required = [_term(chance) for _ in range(chance.choice((1, 1, 2, 2, 3)))]
        excluded = [_term(chance) for _ in range(chance.choice((0, 0, 0, 1)))]
        ranking = index.rank(_query(connection, required, excluded))
        points = (ranking.points // 100).tolist()
        found = dict(zip(ranking.ids.tolist(), points, strict=True))
        assert found == _by_postgresql(connection, required, excluded), (required, excluded)
        matched += len(found)
    assert matched > COMBINATIONS


def _text(chance: random.Random, most: int) -> str:
    return " ".join(chance.choices((*WORDS, *STOP_WORDS), k=chance.randint(0, most)))


def _term(chance: random.Random) -> Term:
    return tuple(_alternative(chance) for _ in range(chance.choice((1, 1, 2, 3))))


def _alternative(chance: random.Random) -> str:
    return " ".join(chance.choices((*WORDS, *WORDS, *STOP_WORDS), k=chance.choice((1, 1, 1, 2, 3))))


def _query(connection: psycopg.Connection, required: Sequence[Term], excluded: Sequence[Term]) -> IndexQuery:
    def parsed(term: Term) -> TermQuery:
        texts = tuple(Phrase.parse(text) for (text,) in connection.execute(_TEXTS, (list(term),)))
        return TermQuery(texts, texts)

    return IndexQuery(tuple(map(parsed, required)), tuple(map(parsed, excluded)))


def _by_postgresql(
    connection: psycopg.Connection, required: Sequence[Term], excluded: Sequence[Term]
) -> dict[int, int]:
    """The text points by id of the matching documents."""
    queries = [_any_of(connection, term) for term in required]
    conditions = [("%s::tsquery", query) for query in queries]
    conditions += [("!!(%s::tsquery)", _any_of(connection, term)) for term in excluded]
    phrase = queries[0]
    for each in queries[1:]:
        ((phrase,),) = connection.execute("SELECT CAST(tsquery_phrase(%s, %s) AS text)", (phrase, each))
    parameters: list[object] = []
    for query in queries:
        parameters += [query, NAME_WEIGHT, query, BRAND_WEIGHT, DESCRIPTION_WEIGHT]
    points = " + ".join(_POINTS.format(query="%s::tsquery") for _ in queries)
    statement = f"""
        SELECT id, {points} + CASE WHEN %s AND document @@ %s::tsquery THEN %s ELSE 0 END
        FROM texts WHERE document @@ ({" && ".join(condition for condition, _ in conditions)})
    """  # noqa: S608 - only constants are inserted
    parameters += [len(queries) > 1, phrase, PHRASE_WEIGHT, *(query for _, query in conditions)]
    return dict(connection.execute(statement.encode(), parameters).fetchall())


def _any_of(connection: psycopg.Connection, term: Term) -> str:
    alternatives = " || ".join("phraseto_tsquery('market', %s)" for _ in term)
    ((query,),) = connection.execute(f"SELECT CAST({alternatives} AS text)".encode(), term)
    return str(query)
