"""The full-text queries of texts, as PostgreSQL makes them: read once and kept, because they rarely change."""

from collections.abc import Collection, Mapping
from typing import Final

from sqlalchemy import text

from adapters.db.core.bulk_statements import int_array, text_array
from adapters.db.queries.executor import QueryExecutor
from adapters.db.queries.search.ttl_cache import TtlCache, cache_key
from adapters.db.queries.statement_cache import CachedStatement

MAX_KNOWN_TEXTS: Final = 20_000
"""Texts whose queries are kept, of about 400 bytes each."""
QUERIES_SECONDS: Final = 3600.0
"""Only an upgrade of the database changes the query of a text."""

_QUERIES: Final = CachedStatement.compile(
    text("""
    SELECT place, CAST(phraseto_tsquery('market', search_terms(folded(given.words))) AS text)
    FROM unnest(CAST(:places AS int[]), CAST(:texts AS text[])) AS given(place, words)
""")
)


class TextQueries:
    def __init__(self, executor: QueryExecutor) -> None:
        self._executor = executor
        self._queries: TtlCache[str] = TtlCache(MAX_KNOWN_TEXTS, QUERIES_SECONDS)

    def read(self, texts: Collection[str]) -> Mapping[str, str]:
        """The query of each text in PostgreSQL's notation, such as `'blue' <-> 'tea'`; empty for stop words alone."""
        known = {each: self._queries.get(cache_key(each)) for each in texts}
        if missing := [each for each, query in known.items() if query is None]:
            parameters = {"places": int_array(range(len(missing))), "texts": text_array(missing)}
            for place, query in self._executor.fetch(_QUERIES, parameters):
                self._queries.put(cache_key(missing[place]), query)
                known[missing[place]] = query
        return {each: query or "" for each, query in known.items()}
