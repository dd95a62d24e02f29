"""How many products a text matches, estimated as PostgreSQL's planner does it, without a round trip for known words.

The planner would need a statement (EXPLAIN) for each search, which takes as long as ranking the matches of a rare word.
"""

from collections.abc import Collection, Mapping, Sequence
from math import prod
from typing import Final

from attrs import frozen
from sqlalchemy import text

from adapters.db.queries.executor import QueryExecutor
from adapters.db.queries.search.index.query import Phrase
from adapters.db.queries.search.query_shape import ParameterNames, QueryShape
from adapters.db.queries.search.text_queries import TextQueries
from adapters.db.queries.search.ttl_cache import TtlCache
from adapters.db.queries.statement_cache import CachedStatement

STATISTICS_SECONDS: Final = 30.0
"""The age up to which the statistics of the table are reused; autovacuum renews them less often."""
DEFAULT_FREQUENCY: Final = 0.005
"""The most that the planner assumes for a lexeme without statistics (`DEFAULT_TS_MATCH_SEL` in PostgreSQL)."""

# PostgreSQL appends the lowest and the highest frequency to those of the elements.
_STATISTICS: Final = CachedStatement.compile(
    text("""
    SELECT reltuples / relpages * (pg_relation_size(pg_class.oid) / current_setting('block_size')::int),
        coalesce(flag.most_common_freqs[array_position(CAST(CAST(flag.most_common_vals AS text) AS text[]), 't')], 1),
        CAST(CAST(words.most_common_elems AS text) AS text[]), words.most_common_elem_freqs
    FROM pg_class
    JOIN pg_namespace ON pg_namespace.oid = relnamespace
    JOIN pg_stats AS words ON words.schemaname = nspname AND words.tablename = relname AND words.attname = 'document'
    JOIN pg_stats AS flag ON flag.schemaname = nspname AND flag.tablename = relname AND flag.attname = 'is_active'
    WHERE pg_class.oid = CAST('products' AS regclass) AND relpages > 0 AND words.most_common_elems IS NOT NULL
""")
)


@frozen
class LexemeFrequencies:
    """Shares of products by lexeme, of the most common ones; `active_products` is the number of products on sale."""

    active_products: float
    frequencies: Mapping[str, float]
    other_frequency: float

    def share_of_any(self, texts: Collection[Sequence[str]]) -> float:
        """The share of products that match any of these different texts, each a sequence of lexemes.

        Of the texts with a lexeme that has no statistics, only the one with the largest share counts, unlike in the
        planner: most forms of a word that rules make occur in no product.
        """
        known: list[float] = []
        unknown = [0.0]
        for lexemes in texts:
            share = prod(self.frequencies.get(each, self.other_frequency) for each in lexemes)
            (known if self.frequencies.keys() >= {*lexemes} else unknown).append(share)
        return 1 - prod(1 - share for share in (*known, max(unknown)))


class TextStatistics:
    def __init__(self, executor: QueryExecutor, queries: TextQueries) -> None:
        self._executor = executor
        self._queries = queries
        self._frequencies: TtlCache[Sequence[LexemeFrequencies]] = TtlCache(1, STATISTICS_SECONDS)

    def estimate(self, shape: QueryShape, values: Mapping[str, object]) -> int | None:
        """Return the number of products that match the texts of a query, which has no filters; None without statistics.

        As in the planner, lexemes are independent of each other, and a phrase has the share of its lexemes.
        """
        frequencies = self._read_frequencies()
        if frequencies is None:
            return None
        required, excluded = shape.required or (), shape.excluded or ()
        names = {name for term in (*required, *excluded) for name in term}
        lexemes = self._read_lexemes({str(values[name]) for name in names})

        def shares(terms: ParameterNames) -> list[float]:
            """The shares of the terms that have lexemes; each term matches if any of its texts does."""
            texts = ({tuple(lexemes[str(values[name])]) for name in term} - {()} for term in terms)
            return [frequencies.share_of_any(each) for each in texts if each]

        wanted = shares(required)
        share = prod([*wanted, *(1 - each for each in shares(excluded))]) if wanted else 0.0
        return max(1, round(frequencies.active_products * share))

    def _read_lexemes(self, texts: Collection[str]) -> Mapping[str, Sequence[str]]:
        return {each: Phrase.parse(query).lexemes for each, query in self._queries.read(texts).items()}

    def _read_frequencies(self) -> LexemeFrequencies | None:
        found = self._frequencies.get("")
        if found is None:
            found = [_frequencies(*row) for row in self._executor.fetch(_STATISTICS)]
            self._frequencies.put("", found)
        return found[0] if found else None


def _frequencies(
    products: float, active_share: float, lexemes: Sequence[str], shares: Sequence[float]
) -> LexemeFrequencies:
    other = min(DEFAULT_FREQUENCY, shares[len(lexemes)] / 2)
    return LexemeFrequencies(products * active_share, dict(zip(lexemes, shares, strict=False)), other)
